/// Reads the server's name from the first bytes of a guest's stream, and from each request of plain
/// HTTP.
///
/// How it works: TLS names its server in the first message, after which nothing can be read. HTTP
/// names it in every request, so that all of them are followed: a second request on an allowed
/// connection could name another server. Every other protocol names none.
final class StreamExamination {
    /// What the waiting bytes show.
    enum Finding: Equatable {
        /// Nothing yet; they wait for more.
        case incomplete
        /// This many bytes at the front need no check of their own.
        case passes(Int)
        /// A request of so many bytes to a server.
        case request(ShownName, length: Int)
        /// All there is to read; `hidesMore` says that the hello has an encrypted part.
        case end(ShownName, hidesMore: Bool)
    }

    private enum Language {
        case unknown(TLSClientHelloReader)
        case http(HTTPRequestFollower)
    }

    /// Limit on the bytes that pass early; no method of HTTP is longer.
    private static let maximumEarly = 64

    /// Bytes at the front of the flow's queue that may go to the host.
    var admitted = 0
    /// The start of the stream, which has passed because it is one word: perhaps the method of a
    /// request, perhaps all that a client of another protocol sends before it waits.
    private var early: [UInt8] = []
    private var language = Language.unknown(TLSClientHelloReader())

    /// Reads on.
    ///
    /// - Parameter waiting: All bytes that may not leave yet, also those shown before.
    /// - Returns: What they show.
    func read(_ waiting: UnsafeRawBufferPointer) -> Finding {
        switch language {
        case .unknown(var reader):
            let reading = reader.read(waiting)
            language = .unknown(reader)
            switch reading {
            case .incomplete: return .incomplete
            case .invalid: return .end(.hidden, hidesMore: false)
            case .hello(let hello):
                return .end(ShownName(hello), hidesMore: hello.hasEncryptedHello)
            case .notTLS:
                language = .http(HTTPRequestFollower())
                return read(waiting)
            }
        case .http(let follower) where early.isEmpty:
            return follow(waiting, follower)
        case .http(let follower):
            return (early + waiting).withUnsafeBytes { follow($0, follower) }
        }
    }

    /// Reads a stream from the first byte that has not passed, or that has passed early.
    private func follow(
        _ octets: UnsafeRawBufferPointer,
        _ follower: HTTPRequestFollower
    ) -> Finding {
        var follower = follower
        let step = follower.read(octets)
        language = .http(follower)
        switch Self.finding(step) {
        case .incomplete where !hasNamed && Self.isWord(octets):
            let count = octets.count - early.count
            early = Array(octets)
            return .passes(count)
        case .request(let shown, let length):
            defer { (hasNamed, early) = (true, []) }
            return .request(shown, length: length - early.count)
        case let finding:
            return finding
        }
    }

    /// Whether a request has been read.
    private var hasNamed = false

    private static func isWord(_ octets: UnsafeRawBufferPointer) -> Bool {
        octets.count <= maximumEarly && octets.allSatisfy { (0x21...0x7e).contains($0) }
    }

    private static func finding(_ step: HTTPRequestFollower.Step) -> Finding {
        switch step {
        case .needsMore: .incomplete
        case .notHTTP: .end(.none, hidesMore: false)
        case .request(let authority, let length):
            .request(authority.map { .name($0) } ?? .hidden, length: length)
        case .body(let count): .passes(count)
        case .opaque: .end(.none, hidesMore: false)
        case .invalid: .end(.hidden, hidesMore: false)
        }
    }

    /// What the bytes have shown if no more will come.
    ///
    /// - Parameter waiting: The bytes that may not leave yet.
    /// - Returns: `none` for bytes that cannot be a request or a hello of any form.
    func nameAtEnd(_ waiting: UnsafeRawBufferPointer) -> ShownName {
        switch language {
        case .unknown: .hidden
        case .http: (early + waiting).contains(UInt8(ascii: " ")) ? .hidden : .none
        }
    }
}

extension ShownName {
    /// The name in a TLS hello; a hello without one hides it.
    init(_ hello: TLSClientHello) {
        self = hello.serverName.map { .name($0) } ?? .hidden
    }
}
