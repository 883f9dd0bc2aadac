/// An event of a network, in gvproxy's format.
enum NetworkEvent: Equatable {
    /// Every socket is open.
    case ready
    /// The first frame from a machine has arrived.
    case connectionEstablished(MACAddress)
    /// The link of a machine has closed.
    case connectionClosed(MACAddress)
    /// A listener or link for machines could not be opened, or has failed.
    case hypervisorError

    /// The event as one line of JSON.
    var line: [UInt8] {
        let (name, mac): (String, MACAddress?) =
            switch self {
            case .ready: ("ready", nil)
            case .connectionEstablished(let mac): ("connection_established", mac)
            case .connectionClosed(let mac): ("connection_closed", mac)
            case .hypervisorError: ("hypervisor_error", nil)
            }
        var members = [JSON.Member("notification_type", .string(name))]
        if let mac { members.append(JSON.Member("mac_address", .string(mac.description))) }
        return JSON.object(members).octets + [UInt8(ascii: "\n")]
    }
}
