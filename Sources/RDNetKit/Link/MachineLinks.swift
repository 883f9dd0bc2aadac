/// The MAC addresses and links of VPNKit's clients, by their UUIDs.
///
/// RootlessKit connects twice with one UUID: first its parent to learn the addresses, then its
/// child for the interface, while the parent keeps its connection and reads nothing from it.
struct MachineLinks {
    /// Limit on machines; with more, all are forgotten.
    private static let capacity = 256

    private struct Machine {
        let mac: MACAddress
        weak var link: (any FrameLink)?
        weak var receiver: (any FrameReceiver)?
    }

    private var machines: [String: Machine] = [:]

    /// Returns the MAC address that a machine has had before, or a new one.
    mutating func mac(of name: String, otherwise fresh: @autoclosure () -> MACAddress) -> MACAddress
    {
        if let machine = machines[name] { return machine.mac }
        if machines.count >= Self.capacity { machines = [:] }
        let mac = fresh()
        machines[name] = Machine(mac: mac)
        return mac
    }

    /// Closes the link that a machine has.
    func closeLink(of name: String, now: Instant) {
        guard let machine = machines[name], let link = machine.link, !link.isClosed else { return }
        link.close()
        machine.receiver?.closed(link, reason: "the machine connected again", now: now)
    }

    /// Remembers a machine's link.
    mutating func add(_ link: any FrameLink, _ receiver: any FrameReceiver, of name: String) {
        machines[name]?.link = link
        machines[name]?.receiver = receiver
    }
}
