/// A learning Ethernet switch (IEEE 802.1D, 7.8 and 7.9) without its links: maps addresses to
/// ports.
///
/// Unlike a bridge, it does not let an address move between two open ports: an address belongs to
/// the port that sent from it first until that port closes. A guest can therefore not receive the
/// frames of another guest.
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
    enum Lesson: Equatable {
        /// Nothing.
        case known
        /// A new address.
        case new
        /// A new address; the port's oldest one was forgotten for it.
        case replacing(MACAddress)
        /// The address belongs to another port.
        case taken(port: Int)
        /// A group address, or the gateway's own.
        case invalid
    }

    /// Limit on learned addresses per port; when full, the port's oldest entry makes room.
    static let addressesPerPort = 1024

    let gateway: MACAddress
    /// Incremented with every change, so that callers can detect stale cached results.
    private(set) var epoch: UInt32 = 0
    private var table = PortTable<MACAddress, Void>(limit: addressesPerPort)
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
    /// - Returns: What was new about it; a frame from an invalid or taken address is not valid.
    @inline(__always)
    mutating func learn(_ source: MACAddress, on port: Int) -> Lesson {
        if latest.mac == source, latest.port == port { return .known }
        guard !source.isGroup, source != gateway else { return .invalid }
        if let entry = table[source] {
            guard entry.port == port else { return .taken(port: entry.port) }
            latest = (source, port)
            return .known
        }
        return add(source, on: port)
    }

    private mutating func add(_ source: MACAddress, on port: Int) -> Lesson {
        latest = (source, port)
        epoch &+= 1
        return table.insert(source, (), on: port).map { .replacing($0) } ?? .new
    }

    /// The port of a guest's address; nil if it is unknown.
    @inline(__always)
    func port(of address: MACAddress) -> Int? { table[address]?.port }

    /// The destination of frames for an address.
    @inline(__always)
    func destination(of address: MACAddress) -> Destination {
        if address == gateway { return .gateway }
        if address.isGroup { return .flood }
        return port(of: address).map { .port($0) } ?? .flood
    }

    /// Removes and returns the addresses learned on a closed port.
    @discardableResult
    mutating func forget(_ port: Int) -> [MACAddress] {
        latest = (gateway, -1)
        epoch &+= 1
        return table.removeAll(on: port).map(\.address)
    }

    /// Every address and its port, for the API.
    var entries: [(mac: MACAddress, port: Int)] {
        table.entries.map { (mac: $0.key, port: $0.value.port) }
            .sorted { ($0.port, $0.mac.rawValue) < ($1.port, $1.mac.rawValue) }
    }
}
