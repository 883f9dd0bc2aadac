/// Something that happened in a network.
enum NetworkEvent: Equatable {
    /// Every socket is open.
    case ready
    /// The first frame from a machine has arrived.
    case connectionEstablished(MACAddress)
    /// The link of a machine has closed.
    case connectionClosed(MACAddress)
    /// A listener or link for machines could not be opened, or has failed.
    case hypervisorError
    /// What happened to a link, a lease and so on, and what there is to know about it.
    case observed(EventKind, String, [JSON.Member])
    /// A watcher was too slow for so many events.
    case lost(UInt64)

    /// The event in gvproxy's format, as one line of JSON; nil if gvproxy does not have it.
    var notification: [UInt8]? {
        let (name, mac): (String, MACAddress?)
        switch self {
        case .ready: (name, mac) = ("ready", nil)
        case .connectionEstablished(let owner): (name, mac) = ("connection_established", owner)
        case .connectionClosed(let owner): (name, mac) = ("connection_closed", owner)
        case .hypervisorError: (name, mac) = ("hypervisor_error", nil)
        case .observed, .lost: return nil
        }
        var members = [JSON.Member("notification_type", .string(name))]
        if let mac { members.append(JSON.Member("mac_address", .string(mac.description))) }
        return JSON.object(members).octets + [UInt8(ascii: "\n")]
    }

    /// The event as one line of JSON for those who watch a network.
    func line(at time: WallTime) -> [UInt8] {
        let (kind, what, members) = parts
        let head = [
            JSON.Member("time", .string(time.rfc3339)), JSON.Member("type", .string(kind)),
            JSON.Member("event", .string(what)),
        ]
        return JSON.object(head + members).octets + [UInt8(ascii: "\n")]
    }

    private var parts: (kind: String, what: String, members: [JSON.Member]) {
        let link = EventKind.link.rawValue
        switch self {
        case .ready: return (link, "ready", [])
        case .connectionEstablished(let mac):
            return (link, "guest heard", [JSON.Member("mac", .string("\(mac)"))])
        case .connectionClosed(let mac):
            return (link, "guest gone", [JSON.Member("mac", .string("\(mac)"))])
        case .hypervisorError: return (link, "failed", [])
        case .observed(let kind, let what, let members): return (kind.rawValue, what, members)
        case .lost(let count):
            return ("events", "lost", [JSON.Member("count", .integer(count))])
        }
    }
}
