/// The addresses of a namespace that `pasta` connects: those of the host, unless options say
/// otherwise.
struct PastaNetwork {
    /// A host without a default route has a network of its own with the namespace.
    private static let localAddress = InterfaceAddress(
        address: IPAddress(ipv4: 0xa9fe_0201),
        prefixLength: 16
    )
    private static let localGateway = IPAddress(ipv4: 0xa9fe_0202)

    /// The interface's name in the namespace.
    let interface: String
    /// The namespace's address.
    let address: InterfaceAddress
    let gateway: IPAddress
    private let settings: PastaSettings
    private let subnet: Subnet

    /// Chooses the addresses.
    ///
    /// - Parameters:
    ///   - settings: The command line.
    ///   - uplink: The host's interface; nil if it has no default route.
    /// - Throws: `RoleFailure` with status 2 if they do not fit together.
    init(_ settings: PastaSettings, _ uplink: HostUplink?) throws(RoleFailure) {
        self.settings = settings
        let name = uplink?.interface ?? "tap0"
        interface = settings.interface.isEmpty ? name : settings.interface
        gateway = settings.gateway ?? uplink?.router ?? Self.localGateway
        address = Self.address(settings, uplink?.address ?? Self.localAddress)
        guard let subnet = Self.subnet(of: address), address.address != gateway else {
            throw RoleFailure(
                "\(address): expected an address in a network of 8 to 32 bits, other than the "
                    + "gateway's, \(gateway)",
                status: .misuse
            )
        }
        self.subnet = subnet
    }

    private static func address(
        _ settings: PastaSettings,
        _ host: InterfaceAddress
    ) -> InterfaceAddress {
        var address = settings.address ?? host
        if address.prefixLength == 0 {
            let isBesideHost = Self.subnet(of: host)?.contains(address.address) ?? false
            address.prefixLength =
                isBesideHost ? host.prefixLength : classLength(of: address.address)
        }
        if let length = settings.prefixLength { address.prefixLength = length }
        return address
    }

    /// The smallest network of an interface's address in which that address belongs to a host.
    ///
    /// Interfaces on point-to-point links and in clouds have prefixes of 31 and 32 bits.
    private static func subnet(of address: InterfaceAddress) -> Subnet? {
        for length in stride(from: min(address.prefixLength, 30), through: 8, by: -1) {
            guard let subnet = Subnet(address: address.address, prefixLength: length) else {
                return nil
            }
            let ends = [subnet.network, subnet.broadcast]
            if !ends.contains(address.address) { return subnet }
        }
        return nil
    }

    /// The length of the network's part of an address by its class (RFC 791, 2.3).
    private static func classLength(of address: IPAddress) -> Int {
        switch (address.ipv4 ?? 0) >> 30 {
        case 0, 1: 8
        case 2: 16
        default: 24
        }
    }

    /// The address that leads to the host's 127.0.0.1; nil if none does.
    var loopbackMap: IPAddress? {
        switch settings.loopbackMap {
        case .address(let address): address
        case .standard: settings.mapsNoGateway ? nil : gateway
        case .none: nil
        }
    }

    /// The address that leads to the namespace's address on the host; nil if none does.
    private var guestMap: IPAddress? {
        if case .address(let address) = settings.guestMap { address } else { nil }
    }

    /// The engine's settings.
    var network: NetworkSettings {
        var network = NetworkSettings()
        network.chosenSubnet = subnet
        network.mtu = settings.mtu
        network.prefixChoice = .off
        network.gatewayMAC = settings.gatewayMAC
        network.guestMAC = settings.mac ?? .standardGuest
        network.gatewayAddress = gateway
        network.guestAddress = address.address
        network.hostAddress = loopbackMap ?? gateway
        network.forwardsFromHostAlias = true
        let resolver = settings.servers.contains(.none) ? nil : settings.resolver
        network.mirror = MirroredNetwork(guest: address.address, resolver: resolver)
        network.translations = [
            loopbackMap.map { AddressTranslation(seen: $0, host: .loopbackIPv4) },
            guestMap.map { AddressTranslation(seen: $0, host: address.address) },
        ].compactMap(\.self)
        network.virtualAddresses = [loopbackMap, guestMap, resolver].compactMap(\.self)
        network.servesNames = resolver != nil
        network.dnsServers = settings.servers.compactMap { server in
            if case .server(let endpoint) = server { endpoint } else { nil }
        }
        network.dnsSearch = settings.search.flatMap { $0.split(separator: " ") }.map { String($0) }
            .filter { $0 != "none" }
        network.searchesHostDomains = false
        network.access.guestAPI = APIAccess.GuestAPI.none
        network.captureFile = settings.captureFile
        network.servesLeases = !settings.hasNoLeases
        if settings.hasNoTCP { network.silencedTransports.insert(.tcp) }
        if settings.hasNoUDP { network.silencedTransports.insert(.udp) }
        if settings.hasNoEcho { network.silencedTransports.insert(.icmp) }
        return network
    }
}

/// What the operands and options of `pasta` name.
struct PastaTarget {
    /// The namespace to enter; nil for a new one, in which a command runs.
    var existing: (userNamespace: String?, network: String)?
    /// The command; empty for an existing namespace.
    var command: [String] = []
    /// The process with whose end the namespace ends; nil for another namespace.
    var process: Int32?
    /// The file with whose end the namespace ends; nil for that of a process.
    var file: String?

    /// Interprets the operands.
    ///
    /// - Parameters:
    ///   - settings: The options.
    ///   - operands: The words after them.
    ///   - shell: The command if there are no words.
    /// - Throws: `RoleFailure` with status 2.
    init(_ settings: PastaSettings, _ operands: [String], shell: String) throws(RoleFailure) {
        let process = operands.count == 1 ? operands[0].decimal(upTo: UInt64(Int32.max)) : nil
        let user = settings.userNamespace
        if !settings.networkNamespace.isEmpty {
            guard operands.isEmpty else {
                throw RoleFailure(
                    "\(operands[0]): expected no PID and no command with --netns",
                    status: .misuse
                )
            }
            let name = settings.networkNamespace
            let path = name.contains("/") ? name : "/run/netns/\(name)"
            existing = (user.isEmpty ? nil : user, path)
            self.process = Self.process(of: path)
            if self.process == nil { file = path }
        } else if let process, process > 0 {
            let number = Int32(truncatingIfNeeded: process)
            let own = settings.joinsNetworkOnly ? nil : "/proc/\(number)/ns/user"
            existing = (user.isEmpty ? own : user, "/proc/\(number)/ns/net")
            self.process = number
        } else {
            guard user.isEmpty, !settings.joinsNetworkOnly else {
                throw RoleFailure(
                    "--userns and --netns-only need a PID or --netns",
                    status: .misuse
                )
            }
            command = operands.isEmpty ? [shell] : operands
        }
        if settings.survivesNamespace { (self.process, file) = (nil, nil) }
    }

    /// The process of `/proc/PID/ns/net`; nil for another path.
    private static func process(of path: String) -> Int32? {
        let parts = path.split(separator: "/")
        guard parts.count == 4, parts[0] == "proc", parts[2] == "ns" else { return nil }
        return parts[1].decimal(upTo: UInt64(Int32.max)).map { Int32(truncatingIfNeeded: $0) }
    }
}
