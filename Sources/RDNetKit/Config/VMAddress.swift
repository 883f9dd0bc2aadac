/// How to reach one VM's ports.
enum VirtualMachine: Hashable, Sendable, CustomStringConvertible {
    /// A vsock(7) context.
    case context(UInt32)
    /// A unix socket of its hypervisor.
    case socket(String, PortMapping)

    /// How a unix socket maps to a port of the VM.
    enum PortMapping: String, Sendable {
        /// It leads to the handshake port only.
        case direct = "unix"
        /// It expects the port first, as in Firecracker and Cloud Hypervisor.
        case asked = "firecracker+unix"
    }

    var description: String {
        switch self {
        case .context(let cid): "vsock://\(cid)"
        case .socket(let path, let mapping): "\(mapping.rawValue)://\(path)"
        }
    }

    /// The address of its handshake port.
    func handshakeAddress(port: UInt32) -> LinkAddress {
        switch self {
        case .context(let cid): .vsock(cid: cid, port: port)
        case .socket(let path, _): .stream(.unix(path), .littleEndian16)
        }
    }

    /// Where its stream arrives: the hypervisor of a unix socket connects to the path with the port
    /// appended.
    func dataAddress(port: UInt32) -> LinkAddress {
        switch self {
        case .context: .vsock(cid: nil, port: port)
        case .socket(let path, _): .stream(.unix("\(path)_\(port)"), .littleEndian16)
        }
    }

    /// The port to send to its socket; nil if the address implies it.
    func askedPort(_ port: UInt32) -> UInt32? {
        if case .socket(_, .asked) = self { port } else { nil }
    }
}

/// Where to look for VMs.
enum VMAddress: Hashable, Sendable, CustomStringConvertible {
    case contexts(ClosedRange<UInt32>)
    case socket(String, VirtualMachine.PortMapping)
    /// Every socket in a directory; the path ends in a slash.
    case directory(String, VirtualMachine.PortMapping)

    /// Limit on the contexts of one range, and on all VMs.
    static let maximumContexts = 256
    /// Leaves room for an underscore and a port within the 107 bytes of unix(7).
    static let maximumPathLength = 96

    /// Parses `3`, `vsock://3`, `vsock://3-66`, `unix:///path`, `unix:///directory/`, and both with
    /// `firecracker+` before them.
    init?(_ text: some StringProtocol) {
        for mapping in [VirtualMachine.PortMapping.direct, .asked] {
            guard let path = text.removingPrefix("\(mapping.rawValue)://") else { continue }
            guard path.hasPrefix("/"), path.utf8.count <= Self.maximumPathLength,
                !path.utf8.contains(0)
            else { return nil }
            self = path.hasSuffix("/") ? .directory(path, mapping) : .socket(path, mapping)
            return
        }
        let numbers = (text.removingPrefix("vsock://") ?? String(text))
            .split(separator: "-", omittingEmptySubsequences: false)
            // Zero is the hypervisor itself; 0xffffffff is VMADDR_CID_ANY.
            .map { $0.decimal(upTo: UInt64(UInt32.max) - 1).map { UInt32(truncatingIfNeeded: $0) } }
        guard numbers.count <= 2, case let first?? = numbers.first, case let last?? = numbers.last,
            first > 0, first <= last, last - first < Self.maximumContexts
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
    /// Where to look for VMs.
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
