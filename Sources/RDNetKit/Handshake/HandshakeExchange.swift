/// One end of one handshake connection.
///
/// The handshake: the host connects to the VM's handshake port, reads a phrase and closes; this is
/// how it finds its VM. Then it listens on its data port, connects once more and sends READY; the
/// VM connects to the data port, and that connection carries frames from then on. An exchange is
/// one of these connections. It handles events, does no I/O, and ends in any state when its
/// deadline passes.
protocol HandshakeExchange {
    /// Limit on the bytes it accepts next; later bytes on the connection may belong to the link.
    var octetsWanted: Int { get }

    /// Handles an event.
    ///
    /// - Parameter event: What happened on the connection.
    /// - Returns: The action; events after `end` are ignored.
    mutating func next(_ event: ExchangeEvent) -> ExchangeStep
}

extension HandshakeExchange {
    /// No limit: nothing follows the exchange.
    var octetsWanted: Int { .max }
}

/// An event on a connection.
enum ExchangeEvent: Equatable {
    /// Connected and writable.
    case connected
    /// At least one byte arrived.
    case received([UInt8])
    /// Everything was sent.
    case sent
    /// The peer no longer reads, but may have sent data before.
    case sendingFailed(String)
    /// The peer closed its sending side.
    case ended
    /// Connecting failed, or the connection broke.
    case failed(String)
    case deadlinePassed
}

/// An action of an exchange.
enum ExchangeStep: Equatable {
    case wait
    case send([UInt8])
    case end(ExchangeResult)
}

/// How an exchange ended.
enum ExchangeResult: Equatable {
    /// Both sides sent what the other expected.
    case agreed
    case failed(ExchangeFault)
}

/// Why an exchange failed.
enum ExchangeFault: Error, Equatable, CustomStringConvertible {
    /// The peer is unreachable or disappeared.
    case unreachable(String)
    /// The peer closed before it sent all expected bytes.
    case cutShort(Int, of: Int)
    /// The deadline passed before all expected bytes arrived.
    case silent(Int, of: Int)
    /// The peer sent something else; its first bytes.
    case unlike([UInt8])

    var description: String {
        switch self {
        case .unreachable(let cause): cause
        case .cutShort(let count, let expected): "closed after \(count) of \(expected) bytes"
        case .silent(let count, let expected): "silent after \(count) of \(expected) bytes"
        case .unlike(let octets): "sent \"\(Self.printable(octets))\""
        }
    }

    private static func printable(_ octets: [UInt8]) -> String {
        let plain = octets.prefix(80).map { (0x20...0x7e).contains($0) ? $0 : UInt8(ascii: "?") }
        return String(decoding: plain, as: UTF8.self)
    }
}

/// Compares arriving bytes with an expected text, in pieces of any size.
struct ExpectedOctets: Equatable {
    /// The result of the comparison so far.
    enum Verdict: Equatable {
        case beginning
        case complete
        /// Something else; its first bytes.
        case other([UInt8])
    }

    let expected: [UInt8]
    /// The number of bytes received.
    private(set) var count = 0

    init(_ expected: [UInt8]) {
        self.expected = expected
    }

    /// Compares the next bytes; ignores bytes after the last expected one.
    mutating func take(_ octets: some Collection<UInt8>) -> Verdict {
        let before = expected[..<count]
        for (octet, wanted) in zip(octets, expected[count...]) {
            guard octet == wanted else { return .other(before + Array(octets)) }
            count += 1
        }
        return count == expected.count ? .complete : .beginning
    }
}
