/// A stream socket's address, as people write it: `unix:///path` or `tcp://127.0.0.1:port`.
enum StreamAddress: Hashable, Sendable, CustomStringConvertible {
    /// An absolute path of at most 107 octets (unix(7)).
    case unix(String)
    case tcp(Endpoint)

    /// Parses either form; nil for anything else, host names included: nothing here looks names up.
    init?(_ text: some StringProtocol) {
        if let path = text.removingPrefix("unix://") {
            guard path.hasPrefix("/"), path.utf8.count <= 107, !path.utf8.contains(0) else {
                return nil
            }
            self = .unix(path)
        } else if let address = text.removingPrefix("tcp://"), let endpoint = Endpoint(address) {
            self = .tcp(endpoint)
        } else {
            return nil
        }
    }

    var description: String {
        switch self {
        case .unix(let path): "unix://\(path)"
        case .tcp(let endpoint): "tcp://\(endpoint)"
        }
    }
}

/// What stands before each frame on a stream.
enum StreamFraming: Hashable, Sendable {
    /// The length in two octets, the low one first, as Rancher Desktop's tools send it.
    case littleEndian16
    /// The length in four octets, the high one first, as QEMU's stream sockets send it.
    case bigEndian32
}

/// Where Ethernet frames come from and go to.
enum LinkAddress: Hashable, Sendable, CustomStringConvertible {
    case stream(StreamAddress, StreamFraming)
    /// A virtual machine's socket (vsock(7)); nil is any context.
    case vsock(cid: UInt32?, port: UInt32)
    /// A connected stream that the program was started with.
    case descriptor(Int32)

    /// Parses `unix:///path`, `tcp://ADDRESS:PORT`, either with `qemu+` before it, `vsock://CID:PORT` and `fd://N`.
    init?(_ text: some StringProtocol) {
        if let address = text.removingPrefix("qemu+") {
            guard let stream = StreamAddress(address) else { return nil }
            self = .stream(stream, .bigEndian32)
        } else if let address = text.removingPrefix("vsock://") {
            let parts = address.split(separator: ":", omittingEmptySubsequences: false)
            // VMADDR_CID_ANY and VMADDR_PORT_ANY, all bits one, name nobody to call.
            guard parts.count == 2, let port = parts[1].decimal(upTo: UInt64(UInt32.max) - 1) else {
                return nil
            }
            let cid = parts[0].decimal(upTo: UInt64(UInt32.max) - 1)
            guard cid != nil || parts[0].isEmpty else { return nil }
            self = .vsock(
                cid: cid.map { UInt32(truncatingIfNeeded: $0) },
                port: UInt32(truncatingIfNeeded: port)
            )
        } else if let number = text.removingPrefix("fd://") {
            guard let descriptor = number.decimal(upTo: UInt64(Int32.max)) else { return nil }
            self = .descriptor(Int32(truncatingIfNeeded: descriptor))
        } else if let stream = StreamAddress(text) {
            self = .stream(stream, .littleEndian16)
        } else {
            return nil
        }
    }

    var description: String {
        switch self {
        case .stream(let address, .littleEndian16): "\(address)"
        case .stream(let address, .bigEndian32): "qemu+\(address)"
        case .vsock(let cid, let port): "vsock://\(cid.map { String($0) } ?? ""):\(port)"
        case .descriptor(let number): "fd://\(number)"
        }
    }
}

extension ValueSyntax where Value == LinkAddress {
    /// Where frames come from and go to.
    static let link = ValueSyntax(
        placeholder: "ADDRESS",
        expected: """
            unix:///PATH, tcp://ADDRESS:PORT, qemu+unix:///PATH, qemu+tcp://ADDRESS:PORT, \
            vsock://CID:PORT or fd://NUMBER
            """,
        parse: { LinkAddress($0) },
        text: { $0.description }
    )
}

extension ValueSyntax where Value == LinkAddress? {
    /// Where frames come from and go to, or nothing.
    static let optionalLink = ValueSyntax(
        placeholder: "ADDRESS",
        expected: ValueSyntax<LinkAddress>.link.expected,
        parse: { $0.isEmpty ? .some(nil) : LinkAddress($0).map { $0 } },
        text: { $0?.description ?? "" }
    )
}

extension ValueSyntax where Value == StreamAddress {
    /// Where a service listens.
    static let stream = ValueSyntax(
        placeholder: "ADDRESS",
        expected: "unix:///PATH or tcp://ADDRESS:PORT",
        parse: { StreamAddress($0) },
        text: { $0.description }
    )
}
