/// What happens to a network, as gvproxy tells it.
enum NetworkEvent: Equatable {
    /// Every socket is there.
    case ready
    /// A machine is heard for the first time.
    case connectionEstablished(MACAddress)
    /// The link behind which a machine was heard has ended.
    case connectionClosed(MACAddress)
    /// A way for machines to connect cannot be had, or has failed.
    case hypervisorError

    /// One line of JSON.
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
