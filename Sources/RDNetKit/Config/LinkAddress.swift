/// The framing of a stream, and its greeting.
enum StreamFraming: String, Hashable, Sendable, CaseIterable {
    /// A 16-bit little-endian length, as Rancher Desktop's tools send it.
    case littleEndian16 = ""
    /// A 32-bit big-endian length, as QEMU's stream sockets send it.
    case bigEndian32 = "qemu+"
    /// Like `littleEndian16`, after the greeting of VPNKit and hyperkit.
    case vpnkit = "vpnkit+"
}

/// The address of a link.
enum LinkAddress: Hashable, Sendable, CustomStringConvertible {
    case stream(StreamAddress, StreamFraming)
    /// A unix packet socket (SOCK_SEQPACKET), one frame per packet: BESS and User Mode Linux's
    /// `bess` transport.
    case packets(String)
    /// A unix datagram socket, one frame per datagram: vfkit and libkrun.
    case datagrams(String)
    /// A unix socket at which a virtual machine passes its memory and rings (vhost-user).
    case vhost(String)
    /// A stream that the program inherited: connected, or where connections are accepted listening.
    case descriptor(Int32)
    /// A stream with input on descriptor 0 and output on descriptor 1.
    case standardStreams
    /// A connection to gvproxy's API, where an HTTP request for a path starts the frames.
    case connect(StreamAddress, path: String)
    /// The standard streams of a child process.
    case program(String, arguments: [String])

    /// A VM's socket with Rancher Desktop's framing.
    static func vsock(cid: UInt32?, port: UInt32) -> LinkAddress {
        .stream(.vsock(cid: cid, port: port), .littleEndian16)
    }

    /// Parses the forms in `ValueSyntax.link`; `init(forwarder:)` parses the two other kinds.
    init?(_ text: some StringProtocol) {
        if let path = text.removingPrefix("bess+unix://") {
            guard StreamAddress.isPath(path) else { return nil }
            self = .packets(path)
        } else if let path = text.removingPrefix("vfkit+unixgram://") {
            guard StreamAddress.isPath(path) else { return nil }
            self = .datagrams(path)
        } else if let path = text.removingPrefix("vhost+unix://") {
            guard StreamAddress.isPath(path) else { return nil }
            self = .vhost(path)
        } else if let number = text.removingPrefix("fd://") {
            guard let descriptor = number.decimal(upTo: UInt64(Int32.max)) else { return nil }
            self = .descriptor(Int32(truncatingIfNeeded: descriptor))
        } else if text == "stdio://" {
            self = .standardStreams
        } else {
            for framing in StreamFraming.allCases {
                guard let address = text.removingPrefix(framing.rawValue),
                    let stream = StreamAddress(address)
                else { continue }
                self = .stream(stream, framing)
                return
            }
            return nil
        }
    }

    var description: String {
        switch self {
        case .stream(let address, let framing): "\(framing.rawValue)\(address)"
        case .packets(let path): "bess+unix://\(path)"
        case .datagrams(let path): "vfkit+unixgram://\(path)"
        case .vhost(let path): "vhost+unix://\(path)"
        case .descriptor(let number): "fd://\(number)"
        case .standardStreams: "stdio://"
        case .connect(.unix(let path), _): "unix://\(path)"
        case .connect(let address, let path): "\(address)\(path)"
        case .program(let path, let arguments):
            "stdio:\(URLPath.encoded(path))\(Self.query(of: arguments))"
        }
    }

    /// Whether a guest can connect to it.
    var canBeCalled: Bool {
        switch self {
        case .stream(_, let framing): framing != .vpnkit
        case .descriptor, .connect, .program: true
        case .packets, .datagrams, .vhost, .standardStreams: false
        }
    }
}

extension ValueSyntax where Value == LinkAddress {
    /// A listening address for guests.
    static let link = ValueSyntax(
        placeholder: "ADDRESS",
        expected: """
            unix:///PATH, tcp://ADDRESS:PORT or vsock://[CID]:PORT, each alone or with qemu+ or \
            vpnkit+ before it, vhost+unix:///PATH, bess+unix:///PATH, vfkit+unixgram:///PATH, \
            fd://NUMBER or stdio://
            """,
        parse: { LinkAddress($0) },
        text: { $0.description }
    )
}

extension ValueSyntax where Value == LinkAddress? {
    /// The host that a guest connects to, or empty.
    static let optionalLink = ValueSyntax(
        placeholder: "ADDRESS",
        expected: """
            unix:///PATH, tcp://ADDRESS:PORT or vsock://[CID]:PORT, each alone or with qemu+ before \
            it, or fd://NUMBER
            """,
        parse: { text in
            if text.isEmpty { return .some(nil) }
            guard let address = LinkAddress(text), address.canBeCalled else { return nil }
            return address
        },
        text: { $0?.description ?? "" }
    )
}
