/// A learning Ethernet switch (IEEE 802.1D, 7.8 and 7.9) without its links: maps addresses to
/// ports.
struct EthernetSwitch {
    /// A frame's destination.
    enum Destination: Equatable {
        /// The gateway.
        case gateway
        /// One port.
        case port(Int)
        /// A group or unknown address: every port except the frame's own, and the gateway.
        case flood
    }

    /// What the switch learned from a frame's source address.
    enum Lesson {
        /// Nothing, or that the address moved to another port.
        case known
        /// A new address.
        case new
    }

    /// Limit on learned addresses; when full, the oldest entry makes room.
    static let capacity = 4096

    let gateway: MACAddress
    /// Incremented with every change, so that callers can detect stale cached results.
    private(set) var epoch: UInt32 = 0
    private var ports: [MACAddress: Int] = [:]
    /// The addresses in `ports` in learning order; once full, a ring that starts at `oldest`.
    private var order: [MACAddress] = []
    private var oldest = 0
    private var latest: (mac: MACAddress, port: Int)

    /// Creates a switch that knows only the gateway.
    init(gateway: MACAddress) {
        self.gateway = gateway
        latest = (gateway, -1)
    }

    /// Learns an address's port.
    ///
    /// - Parameters:
    ///   - source: A frame's source address.
    ///   - port: The port that received it.
    /// - Returns: Nil for an invalid source: a group address or the gateway's own.
    @inline(__always)
    mutating func learn(_ source: MACAddress, on port: Int) -> Lesson? {
        if latest.mac == source, latest.port == port { return .known }
        guard !source.isGroup, source != gateway else { return nil }
        latest = (source, port)
        let earlier = ports[source]
        if earlier == port { return .known }
        if earlier == nil { makeRoom(for: source) }
        ports[source] = port
        epoch &+= 1
        return earlier == nil ? .new : .known
    }

    private mutating func makeRoom(for source: MACAddress) {
        guard order.count == Self.capacity else { return order.append(source) }
        ports[order[oldest]] = nil
        order[oldest] = source
        oldest = (oldest + 1) % Self.capacity
    }

    /// The destination of frames for an address.
    @inline(__always)
    func destination(of address: MACAddress) -> Destination {
        if address == gateway { return .gateway }
        if address.isGroup { return .flood }
        return ports[address].map { .port($0) } ?? .flood
    }

    /// Removes and returns the addresses learned on a closed port.
    @discardableResult
    mutating func forget(_ port: Int) -> [MACAddress] {
        let forgotten = ports.keys.filter { ports[$0] == port }
        for address in forgotten { ports[address] = nil }
        order = (order[oldest...] + order[..<oldest]).filter { ports[$0] != nil }
        oldest = 0
        latest = (gateway, -1)
        epoch &+= 1
        return forgotten
    }

    /// Every address and its port, for the API.
    var entries: [(mac: MACAddress, port: Int)] {
        ports.map { (mac: $0.key, port: $0.value) }
            .sorted { ($0.port, $0.mac.rawValue) < ($1.port, $1.mac.rawValue) }
    }
}
