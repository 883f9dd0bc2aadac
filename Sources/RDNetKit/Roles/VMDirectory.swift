/// The virtual machines that may exist, looked up at each request.
struct VMDirectory {
    /// The default range of contexts to search.
    static let usualContexts: ClosedRange<UInt32> = 3...66

    private static let pauseWithoutSockets = 9

    private let addresses: [VMAddress]
    private let log: Logger
    /// The directories that could not be read, so that each is logged once.
    private var unreadable: Set<String> = []
    private var sockets: VirtualSockets?
    /// Rounds until the next probe: a kernel without vsock would search for a module at each probe.
    private var pause = 0

    /// Creates a directory.
    ///
    /// - Parameters:
    ///   - addresses: Empty for the contexts that the kernel's vsock reaches.
    ///   - log: For directories that cannot be read.
    init(_ addresses: [VMAddress], log: Logger) {
        self.addresses = addresses
        self.log = log
    }

    /// The addresses to search, as text.
    var description: String {
        addresses.isEmpty
            ? "vsock://\(VirtualSockets.loopback) and \(VMAddress.contexts(Self.usualContexts))"
            : addresses.map(\.description).joined(separator: " ")
    }

    /// Returns all machines, up to `VMAddress.maximumContexts`.
    mutating func machines() -> [VirtualMachine] {
        var machines: [VirtualMachine] = []
        for address in addresses.isEmpty ? usual() : addresses {
            switch address {
            case .contexts(let range): machines += range.map { .context($0) }
            case .socket(let path, let mapping): machines.append(.socket(path, mapping))
            case .directory(let path, let mapping): machines += machinesIn(path, mapping)
            }
        }
        return Array(machines.prefix(VMAddress.maximumContexts))
    }

    private mutating func usual() -> [VMAddress] {
        guard pause == 0 else {
            pause -= 1
            return []
        }
        let found = VirtualSockets.probe()
        pause = found == .none ? Self.pauseWithoutSockets : 0
        if found != sockets {
            sockets = found
            let fields: KeyValuePairs = [
                "host": "\(found.isHost)", "loopback": "\(found.hasLoopback)",
            ]
            if found == .none {
                log.warning(
                    "no virtual machine is reachable by vsock: load vhost_vsock or vsock_loopback, or "
                        + "name another transport with --vm and --link"
                )
            } else {
                log.debug("kernel's vsock found", fields)
            }
        }
        var addresses: [VMAddress] = []
        if found.hasLoopback {
            addresses.append(.contexts(VirtualSockets.loopback...VirtualSockets.loopback))
        }
        if found.isHost { addresses.append(.contexts(Self.usualContexts)) }
        return addresses
    }

    private mutating func machinesIn(
        _ path: String,
        _ mapping: VirtualMachine.PortMapping
    ) -> [VirtualMachine] {
        do {
            let names = try SocketDirectory.names(in: path)
            unreadable.remove(path)
            return names.filter {
                Self.isMachine($0) && (path + $0).utf8.count <= VMAddress.maximumPathLength
            }
            .map { .socket(path + $0, mapping) }
        } catch {
            if unreadable.insert(path).inserted {
                log.warning("cannot list virtual machines", ["cause": "\(error)"])
            }
            return []
        }
    }

    /// Whether a socket is a machine's own, rather than one for the machine's connections, such as
    /// `name_6656`.
    private static func isMachine(_ name: String) -> Bool {
        guard let mark = name.lastIndex(of: "_") else { return true }
        return name[name.index(after: mark)...].decimal(upTo: UInt64(UInt32.max)) == nil
    }
}
