/// A learning Ethernet switch (IEEE 802.1D, 7.8 and 7.9) without its links: which address is behind which port.
struct EthernetSwitch {
    /// Where a frame goes.
    enum Destination: Equatable {
        /// To the gateway itself.
        case gateway
        /// To one port.
        case port(Int)
        /// A group, or an address not learned: to every port but the frame's own, and to the gateway.
        case flood
    }

    /// What a frame's source address told.
    enum Lesson {
        /// Nothing.
        case known
        /// That the address is behind another port now.
        case moved
        /// That there is such an address.
        case new
    }

    /// Addresses remembered at once; when full, the one learned first makes room.
    static let capacity = 4096

    let gateway: MACAddress
    /// Grows with every change, so that a cached answer can be told from a current one.
    private(set) var epoch: UInt32 = 0
    private var ports: [MACAddress: Int] = [:]
    /// The addresses in `ports` in the order in which they were learned; once full, a ring from `oldest` on.
    private var order: [MACAddress] = []
    private var oldest = 0
    private var latest: (mac: MACAddress, port: Int)

    /// A switch that knows only the gateway.
    init(gateway: MACAddress) {
        self.gateway = gateway
        latest = (gateway, -1)
    }

    /// Learns that an address is behind a port.
    ///
    /// - Parameters:
    ///   - source: A frame's source address.
    ///   - port: The port that it came in by.
    /// - Returns: Nil when no frame may come from there: from a group, or the gateway's own address.
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
        return earlier == nil ? .new : .moved
    }

    private mutating func makeRoom(for source: MACAddress) {
        guard order.count == Self.capacity else { return order.append(source) }
        ports[order[oldest]] = nil
        order[oldest] = source
        oldest = (oldest + 1) % Self.capacity
    }

    /// Where frames for an address go.
    @inline(__always)
    func destination(of address: MACAddress) -> Destination {
        if address == gateway { return .gateway }
        if address.isGroup { return .flood }
        return ports[address].map { .port($0) } ?? .flood
    }

    /// Forgets every address behind a port that is gone; which they were.
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
