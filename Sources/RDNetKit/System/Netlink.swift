internal import CLinux
internal import Glibc

/// An interface as the kernel describes it.
struct NetworkLink: Equatable {
    var index: UInt32
    var mac: MACAddress?
    var mtu: Int
    var isUp: Bool
    /// Whether it is a TUN or TAP interface.
    var isTUN: Bool
}

/// An address of an interface and the length of its network's prefix.
struct InterfaceAddress: Equatable, CustomStringConvertible {
    var address: IPAddress
    var prefixLength: Int

    init(address: IPAddress, prefixLength: Int) {
        self.address = address
        self.prefixLength = prefixLength
    }

    /// The IPv6 address with the number of an IPv4 address; nil if that is outside of its subnet.
    init?(matching ipv4: IPAddress, in subnet: Subnet, _ prefix: IPv6Prefix) {
        guard let address = prefix.address(matching: ipv4, in: subnet) else { return nil }
        self.init(address: address, prefixLength: prefix.prefixLength)
    }

    /// The IPv4 network's broadcast address: all host bits are one.
    var broadcast: IPAddress {
        guard prefixLength < 32, let bits = address.ipv4 else { return address }
        return IPAddress(ipv4: bits | UInt32.max >> UInt32(prefixLength))
    }

    /// `192.168.143.1/24`.
    var description: String { "\(address)/\(prefixLength)" }
}

/// Interfaces, addresses and routes of one network namespace, over rtnetlink.
///
/// The socket stays in the namespace where it was created, whatever namespace the thread enters
/// later. Only one request is active at a time. The kernel answers a request while it is sent, so
/// no call here waits. See rtnetlink(7).
struct Netlink: ~Copyable {
    /// The kernel never puts more bytes into one datagram of a dump.
    private static let bufferSize = 65_536
    /// Limit on the messages of one answer, in case the kernel never sends "done".
    private static let maximumMessages = 100_000

    private let descriptor: OwnedDescriptor
    private var sequence: UInt32 = 0

    init() throws(SystemError) {
        descriptor = try Socket.make(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE)
    }

    // MARK: Links

    /// Finds an interface.
    ///
    /// - Parameter name: As in `ip link`.
    /// - Returns: Its index and settings.
    /// - Throws: `SystemError` with ENODEV if the interface does not exist.
    mutating func link(named name: String) throws(SystemError) -> NetworkLink {
        var request = NetlinkRequest(link: NetlinkType.getLink, [])
        request.append(NetlinkAttribute.Link.name, name)
        let answers = try exchange(request, "\(name): get link")
        guard let answer = answers.first(where: { $0.type == NetlinkType.newLink }),
            let index = answer.link, let flags = answer.interfaceFlags
        else { throw SystemError(call: "\(name): get link", errno: ENODEV) }
        let mac = answer.attribute(NetlinkAttribute.Link.address, after: 16) ?? []
        let mtu = answer.attribute(NetlinkAttribute.Link.mtu, after: 16) ?? []
        return NetworkLink(
            index: index,
            mac: mac.count == 6 ? MACAddress(reading: mac.span.bytes, at: 0) : nil,
            mtu: mtu.count == 4
                ? Int(mtu.withUnsafeBytes { $0.loadUnaligned(as: UInt32.self) }) : 0,
            isUp: flags & UInt32(IFF_UP) != 0,
            isTUN: answer.linkKind == "tun"
        )
    }

    mutating func setLink(_ link: UInt32, up: Bool) throws(SystemError) {
        let flag = UInt32(IFF_UP)
        let request = NetlinkRequest(
            link: NetlinkType.newLink,
            .acknowledge,
            link: link,
            interfaceFlags: up ? flag : 0,
            changing: flag
        )
        try exchange(request, "link \(link): set \(up ? "up" : "down")")
    }

    /// Sets an interface's MAC address; many drivers require the interface to be down.
    mutating func setMAC(_ mac: MACAddress, ofLink link: UInt32) throws(SystemError) {
        var request = changeRequest(link)
        request.append(NetlinkAttribute.Link.address, mac.octets)
        try exchange(request, "link \(link): set address \(mac)")
    }

    mutating func setMTU(_ mtu: Int, ofLink link: UInt32) throws(SystemError) {
        var request = changeRequest(link)
        request.append(NetlinkAttribute.Link.mtu, UInt32(clamping: mtu))
        try exchange(request, "link \(link): set mtu \(mtu)")
    }

    /// Sets how many packets the interface's queue holds before it drops one.
    mutating func setTransmitQueueLength(_ packets: Int, ofLink link: UInt32) throws(SystemError) {
        var request = changeRequest(link)
        request.append(NetlinkAttribute.Link.transmitQueueLength, UInt32(clamping: packets))
        try exchange(request, "link \(link): set txqueuelen \(packets)")
    }

    /// Limits the segments that the kernel passes to an interface with segmentation offload.
    ///
    /// - Parameters:
    ///   - octets: The maximum size of an IP packet with its Ethernet header.
    ///   - link: The interface's index.
    /// - Throws: `SystemError`.
    mutating func setGSOMaxSize(_ octets: Int, ofLink link: UInt32) throws(SystemError) {
        var request = changeRequest(link)
        request.append(NetlinkAttribute.Link.gsoMaxSize, UInt32(clamping: octets))
        request.append(NetlinkAttribute.Link.gsoIPv4MaxSize, UInt32(clamping: octets))
        try exchange(request, "link \(link): set gso_max_size \(octets)")
    }

    /// Creates a pair of connected Ethernet interfaces, each in a given namespace.
    ///
    /// The kernel creates each interface in its final namespace, so neither ever appears elsewhere.
    /// See veth(4).
    ///
    /// - Parameters:
    ///   - name: The first interface's name.
    ///   - home: The first interface's network namespace.
    ///   - peer: The second interface's name.
    ///   - away: The second interface's network namespace.
    /// - Throws: `SystemError` with EEXIST if either namespace already has an interface of that
    ///   name.
    mutating func addVeth(
        _ name: String,
        in home: borrowing OwnedDescriptor,
        peer: String,
        in away: borrowing OwnedDescriptor
    ) throws(SystemError) {
        let (here, there) = (UInt32(bitPattern: home.number), UInt32(bitPattern: away.number))
        var request = NetlinkRequest(
            link: NetlinkType.newLink,
            [.acknowledge, .create, .exclusive]
        )
        request.append(NetlinkAttribute.Link.name, name)
        request.append(NetlinkAttribute.Link.namespaceDescriptor, here)
        request.append(NetlinkAttribute.Link.description) { link in
            link.append(NetlinkAttribute.LinkDescription.kind, "veth")
            link.append(NetlinkAttribute.LinkDescription.kindDetails) { veth in
                veth.append(NetlinkAttribute.LinkDescription.vethPeer) { other in
                    other.appendLinkWithin()
                    other.append(NetlinkAttribute.Link.name, peer)
                    other.append(NetlinkAttribute.Link.namespaceDescriptor, there)
                }
            }
        }
        try exchange(request, "add veth pair \(name), \(peer)")
    }

    mutating func deleteLink(_ link: UInt32) throws(SystemError) {
        let request = NetlinkRequest(link: NetlinkType.deleteLink, .acknowledge, link: link)
        try exchange(request, "link \(link): delete")
    }

    private func changeRequest(_ link: UInt32) -> NetlinkRequest {
        NetlinkRequest(link: NetlinkType.newLink, .acknowledge, link: link)
    }

    // MARK: Addresses and routes

    /// Returns the addresses of an interface, without the IPv6 addresses that the kernel formed.
    mutating func addresses(
        ofLink link: UInt32,
        _ family: NetlinkFamily = .ipv4
    ) throws(SystemError) -> [InterfaceAddress] {
        let request = NetlinkRequest(
            address: NetlinkType.getAddress,
            .dump,
            family: family,
            link: link
        )
        return try exchange(request, "link \(link): get addresses").compactMap { answer in
            guard answer.type == NetlinkType.newAddress, answer.link == link,
                let prefixLength = answer.prefixLength, let address = answer.interfaceAddress,
                NetlinkFamily(of: address) == family, !answer.isKernelsAddress
            else { return nil }
            return InterfaceAddress(address: address, prefixLength: prefixLength)
        }
    }

    /// Adds an address to an interface.
    ///
    /// - Parameters:
    ///   - address: The address and the network's prefix length; the kernel adds a route to that
    ///     network.
    ///   - broadcast: The network's broadcast address; nil for an IPv6 address.
    ///   - link: The interface's index.
    /// - Throws: `SystemError` with EEXIST if the interface already has the address.
    mutating func addAddress(
        _ address: InterfaceAddress,
        broadcast: IPAddress?,
        toLink link: UInt32
    ) throws(SystemError) {
        var request = NetlinkRequest(
            address: NetlinkType.newAddress,
            [.acknowledge, .create],
            family: NetlinkFamily(of: address.address),
            prefixLength: UInt8(clamping: address.prefixLength),
            link: link
        )
        request.append(NetlinkAttribute.Address.local, address.address)
        request.append(NetlinkAttribute.Address.address, address.address)
        if let broadcast { request.append(NetlinkAttribute.Address.broadcast, broadcast) }
        try exchange(request, "link \(link): add \(address)")
    }

    /// Removes an address and the routes that depend on it.
    mutating func removeAddress(
        _ address: InterfaceAddress,
        fromLink link: UInt32
    ) throws(SystemError) {
        var request = NetlinkRequest(
            address: NetlinkType.deleteAddress,
            .acknowledge,
            family: NetlinkFamily(of: address.address),
            prefixLength: UInt8(clamping: address.prefixLength),
            link: link
        )
        request.append(NetlinkAttribute.Address.local, address.address)
        try exchange(request, "link \(link): remove \(address)")
    }

    /// Removes all IPv4 addresses of an interface except the one to keep.
    mutating func removeAddresses(
        ofLink link: UInt32,
        except kept: InterfaceAddress? = nil
    ) throws(SystemError) {
        for address in try addresses(ofLink: link) where address != kept {
            do {
                try removeAddress(address, fromLink: link)
            } catch {
                // The kernel removes a secondary address with its primary.
                guard error.errno == EADDRNOTAVAIL else { throw error }
            }
        }
    }

    /// Replaces the default route of the gateway's family with one through an interface's gateway.
    ///
    /// - Parameters:
    ///   - gateway: The next hop.
    ///   - link: The interface's index.
    ///   - onLink: Whether to treat the gateway as reachable although no network of the interface
    ///     contains it.
    /// - Throws: `SystemError`.
    mutating func replaceDefaultRoute(
        via gateway: IPAddress,
        link: UInt32,
        onLink: Bool = false
    ) throws(SystemError) {
        var request = NetlinkRequest(
            defaultRoute: NetlinkType.newRoute,
            [.acknowledge, .create, .replace],
            family: NetlinkFamily(of: gateway),
            onLink: onLink
        )
        request.append(NetlinkAttribute.Route.gateway, gateway)
        request.append(NetlinkAttribute.Route.outputInterface, link)
        try exchange(request, "link \(link): default route via \(gateway)")
    }

    /// Removes the default route through an interface's gateway.
    ///
    /// - Throws: `SystemError` with ESRCH if there is none.
    mutating func removeDefaultRoute(
        via gateway: IPAddress,
        link: UInt32
    ) throws(SystemError) {
        var request = NetlinkRequest(
            defaultRoute: NetlinkType.deleteRoute,
            .acknowledge,
            family: NetlinkFamily(of: gateway)
        )
        request.append(NetlinkAttribute.Route.gateway, gateway)
        request.append(NetlinkAttribute.Route.outputInterface, link)
        try exchange(request, "link \(link): remove the default route via \(gateway)")
    }

    /// Returns the destinations of all IPv4 routes in all tables; default routes have none.
    mutating func destinations() throws(SystemError) -> [InterfaceAddress] {
        let request = NetlinkRequest(defaultRoute: NetlinkType.getRoute, .dump, family: .ipv4)
        return try exchange(request, "get routes").compactMap { answer in
            guard answer.type == NetlinkType.newRoute, let prefixLength = answer.prefixLength,
                let octets = answer.attribute(NetlinkAttribute.Route.destination, after: 12),
                octets.count == 4
            else { return nil }
            let address = IPAddress(ipv4: octets.span.bytes.bigEndian(at: 0))
            return InterfaceAddress(address: address, prefixLength: prefixLength)
        }
    }

    // MARK: One request

    /// Sends one request and collects all answers to it.
    @discardableResult
    mutating func exchange(
        _ request: NetlinkRequest,
        _ call: @autoclosure () -> String
    ) throws(SystemError) -> [NetlinkMessage] {
        sequence &+= 1
        let octets = request.octets(sequence: sequence)
        let sent: Int?
        do throws(SystemError) {
            sent = try send(octets)
        } catch {
            throw SystemError(call: call(), errno: error.errno)
        }
        guard sent == octets.count else { throw SystemError(call: call(), errno: ENOBUFS) }
        var answers: [NetlinkMessage] = []
        while answers.count < Self.maximumMessages {
            for message in try receive() where message.sequence == sequence {
                if let code = message.errorNumber {
                    guard code == 0 else { throw SystemError(call: call(), errno: code) }
                    return answers
                }
                if message.type == NetlinkType.done { return answers }
                answers.append(message)
                // An object that was requested by name arrives alone, without an acknowledgment.
                if message.type == NetlinkType.newLink { return answers }
            }
        }
        throw SystemError(call: call(), errno: EOVERFLOW)
    }

    private func send(_ octets: [UInt8]) throws(SystemError) -> Int? {
        let number = descriptor.number
        return try attempt("netlink send") {
            Glibc.send(number, octets, octets.count, Int32(MSG_NOSIGNAL))
        }
    }

    private func receive() throws(SystemError) -> [NetlinkMessage] {
        let number = descriptor.number
        var buffer = [UInt8](repeating: 0, count: Self.bufferSize)
        let count = try attempt("netlink receive") { recv(number, &buffer, Self.bufferSize, 0) }
        guard let count else { throw SystemError(call: "netlink receive", errno: ETIMEDOUT) }
        return NetlinkMessage.messages(reading: buffer.span.bytes.extracting(0..<count))
    }
}
