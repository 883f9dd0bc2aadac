/// Where a service waits for connections: at an address, or on an inherited socket.
enum ListenAddress: Hashable, Sendable, CustomStringConvertible {
    case stream(StreamAddress)
    /// A descriptor that listens already.
    case descriptor(Int32)

    /// Parses a stream's address, the path of a unix socket, or `fd:3`.
    init?(_ text: some StringProtocol) {
        if let rest = text.removingPrefix("fd:") {
            let digits = rest.removingPrefix("//") ?? rest
            // The first three are the standard streams.
            guard let number = digits.decimal(upTo: UInt64(Int32.max)), number > 2 else {
                return nil
            }
            self = .descriptor(Int32(truncatingIfNeeded: number))
        } else if text.hasPrefix("/") {
            guard StreamAddress.isPath(String(text)) else { return nil }
            self = .stream(.unix(String(text)))
        } else {
            guard let address = StreamAddress(text) else { return nil }
            self = .stream(address)
        }
    }

    /// The same for `LinkOpener`.
    var link: LinkAddress {
        switch self {
        case .stream(let address): .stream(address, .littleEndian16)
        case .descriptor(let number): .descriptor(number)
        }
    }

    var description: String {
        switch self {
        case .stream(let address): address.description
        case .descriptor(let number): "fd:\(number)"
        }
    }
}

extension ValueSyntax where Value == ListenAddress {
    /// Where a service waits for connections.
    static let listening = ValueSyntax(
        placeholder: "ADDRESS",
        expected:
            "unix:///PATH, tcp://ADDRESS:PORT, vsock://[CID]:PORT or fd:N for a listening socket",
        parse: { ListenAddress($0) },
        text: { $0.description }
    )
}
