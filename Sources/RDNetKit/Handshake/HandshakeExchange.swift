/// What is said on one connection of a handshake, as one end sees it.
///
/// The handshake: the host calls the virtual machine's handshake port, is told a phrase, and closes; that is how it finds the
/// machine that is its own. Then it listens on its data port, calls once more and says READY; the machine calls the data port, and
/// from then on that connection carries frames. An exchange is one such call. It is fed with what happens, does
/// no input or output, and ends in any state when its deadline passes.
protocol HandshakeExchange {
    /// How many octets it may be given next, at most: what follows on the connection may be another's.
    var octetsWanted: Int { get }

    /// Takes an event.
    ///
    /// - Parameter event: What happened on the connection.
    /// - Returns: What to do; after `end` nothing counts any more.
    mutating func next(_ event: ExchangeEvent) -> ExchangeStep
}

extension HandshakeExchange {
    /// As many as come: nothing follows.
    var octetsWanted: Int { .max }
}

/// What happens on a connection.
enum ExchangeEvent: Equatable {
    /// It is there and may be written to.
    case connected
    /// Octets came: at least one.
    case received([UInt8])
    /// All that was to be sent has left.
    case sent
    /// The other end takes nothing any more, but may have spoken before.
    case sendingFailed(String)
    /// The other end says nothing more.
    case ended
    /// It could not be made, or broke.
    case failed(String)
    case deadlinePassed
}

/// What an exchange wants done.
enum ExchangeStep: Equatable {
    case wait
    case send([UInt8])
    case end(ExchangeResult)
}

/// How an exchange ended.
enum ExchangeResult: Equatable {
    /// Each said what the other expected.
    case agreed
    case failed(ExchangeFault)
}

/// Why an exchange came to nothing.
enum ExchangeFault: Error, Equatable, CustomStringConvertible {
    /// Nobody is there, or nobody any more.
    case unreachable(String)
    /// The other end closed after some of the expected octets, or none.
    case cutShort(Int, of: Int)
    /// Time ran out after some of the expected octets, or none.
    case silent(Int, of: Int)
    /// Something else was said; this is how it began.
    case unlike([UInt8])

    var description: String {
        switch self {
        case .unreachable(let cause): cause
        case .cutShort(let count, let expected): "closed after \(count) of \(expected) octets"
        case .silent(let count, let expected): "silent after \(count) of \(expected) octets"
        case .unlike(let octets): "says \"\(Self.printable(octets))\""
        }
    }

    private static func printable(_ octets: [UInt8]) -> String {
        let plain = octets.prefix(80).map { (0x20...0x7e).contains($0) ? $0 : UInt8(ascii: "?") }
        return String(decoding: plain, as: UTF8.self)
    }
}

/// Octets that are compared as they come, in whatever pieces.
struct ExpectedOctets: Equatable {
    /// What the octets so far are.
    enum Verdict: Equatable {
        case beginning
        case complete
        /// Something else, which began like this.
        case other([UInt8])
    }

    let expected: [UInt8]
    /// How many have come.
    private(set) var count = 0

    init(_ expected: [UInt8]) {
        self.expected = expected
    }

    /// Compares the next octets; what follows the last expected one is not looked at.
    mutating func take(_ octets: some Collection<UInt8>) -> Verdict {
        let before = expected[..<count]
        for (octet, wanted) in zip(octets, expected[count...]) {
            guard octet == wanted else { return .other(before + Array(octets)) }
            count += 1
        }
        return count == expected.count ? .complete : .beginning
    }
}
