/// One virtual machine, by how its ports are reached.
enum VirtualMachine: Hashable, Sendable, CustomStringConvertible {
    /// A context of vsock(7).
    case context(UInt32)
    /// A unix socket of its hypervisor's.
    case socket(String, PortMapping)

    /// How a unix socket leads to a port of the machine.
    enum PortMapping: String, Sendable {
        /// It leads to the handshake port and no other.
        case direct = "unix"
        /// It is told the port first, as Firecracker and Cloud Hypervisor want it.
        case asked = "firecracker+unix"
    }

    var description: String {
        switch self {
        case .context(let cid): "vsock://\(cid)"
        case .socket(let path, let mapping): "\(mapping.rawValue)://\(path)"
        }
    }

    /// Where its handshake port is called.
    func handshakeAddress(port: UInt32) -> LinkAddress {
        switch self {
        case .context(let cid): .vsock(cid: cid, port: port)
        case .socket(let path, _): .stream(.unix(path), .littleEndian16)
        }
    }

    /// Where its stream arrives: a unix socket's hypervisor connects to the path with the port behind it.
    func dataAddress(port: UInt32) -> LinkAddress {
        switch self {
        case .context: .vsock(cid: nil, port: port)
        case .socket(let path, _): .stream(.unix("\(path)_\(port)"), .littleEndian16)
        }
    }

    /// The port that its socket has to be told; nil where the address says it.
    func askedPort(_ port: UInt32) -> UInt32? {
        if case .socket(_, .asked) = self { port } else { nil }
    }
}

/// Where virtual machines are looked for.
enum VMAddress: Hashable, Sendable, CustomStringConvertible {
    case contexts(ClosedRange<UInt32>)
    case socket(String, VirtualMachine.PortMapping)
    /// Every socket in it, as long as it is there; the path ends in a slash.
    case directory(String, VirtualMachine.PortMapping)

    /// Contexts in one range, and machines in all.
    static let most = 256
    /// So that an underscore and a port still fit into the 107 octets of unix(7).
    static let longestPath = 96

    /// Parses `3`, `vsock://3`, `vsock://3-66`, `unix:///path`, `unix:///directory/`, and both with `firecracker+` before them.
    init?(_ text: some StringProtocol) {
        for mapping in [VirtualMachine.PortMapping.direct, .asked] {
            guard let path = text.removingPrefix("\(mapping.rawValue)://") else { continue }
            guard path.hasPrefix("/"), path.utf8.count <= Self.longestPath,
                !path.utf8.contains(0)
            else { return nil }
            self = path.hasSuffix("/") ? .directory(path, mapping) : .socket(path, mapping)
            return
        }
        let numbers = (text.removingPrefix("vsock://") ?? String(text))
            .split(separator: "-", omittingEmptySubsequences: false)
            // Zero is the hypervisor itself, all bits one is nobody (VMADDR_CID_ANY).
            .map { $0.decimal(upTo: UInt64(UInt32.max) - 1).map { UInt32(truncatingIfNeeded: $0) } }
        guard numbers.count <= 2, case let first?? = numbers.first, case let last?? = numbers.last,
            first > 0, first <= last, last - first < Self.most
        else { return nil }
        self = .contexts(first...last)
    }

    var description: String {
        switch self {
        case .contexts(let range) where range.count == 1: "vsock://\(range.lowerBound)"
        case .contexts(let range): "vsock://\(range.lowerBound)-\(range.upperBound)"
        case .socket(let path, let mapping), .directory(let path, let mapping):
            "\(mapping.rawValue)://\(path)"
        }
    }
}

extension ValueSyntax where Value == VMAddress {
    /// Where virtual machines are looked for.
    static let machine = ValueSyntax(
        placeholder: "MACHINE",
        expected: """
            a vsock context such as 3, vsock://3 or vsock://3-66 (at most 256), or unix:///PATH or \
            firecracker+unix:///PATH with a path of at most 96 octets
            """,
        parse: { VMAddress($0) },
        text: { $0.description }
    )
}
