/// Follows the requests of a client on a clear-text HTTP/1.x connection (RFC 9112), so that the
/// server that each of them names can be checked before it passes.
///
/// How it works: the caller keeps the bytes that have not passed yet and gives all of them on each
/// call. A step says how many bytes at the front may pass, or must be checked first; the caller
/// removes them before the next call. After `needsMore` the same bytes come again with more after
/// them, and the follower continues where it stopped, so that each byte is read once.
///
/// Heads and the framing of bodies are read strictly: lines end with CRLF, and anything that two
/// servers could divide into requests at different places is an error. Only the first line may show
/// that the connection is not HTTP at all. A client may also leave HTTP by CONNECT or an upgrade;
/// the server's answer is not visible here, so a request that follows is still checked.
struct HTTPRequestFollower {
    /// Limit on a head with its empty line, on a trailer and on a chunk's size line, in bytes.
    static let maximumHeadLength = 65_536

    enum Step: Equatable, Sendable {
        case needsMore
        /// The stream is another protocol from its first byte.
        case notHTTP
        /// A head of `length` bytes at the front, of a request to `authority`.
        ///
        /// The name is in lower case, without port and final dot; an IPv6 address has no brackets.
        /// It is nil if a request of HTTP/1.0 names no server.
        case request(authority: String?, length: Int)
        /// This many bytes at the front belong to the body of the last request.
        case body(Int)
        /// The client has left HTTP; the rest of the stream is another protocol.
        case opaque
        /// The connection must close; every later step is the same.
        case invalid(HTTPRequestFault)
    }

    private enum State {
        /// Before or inside the first line of a request.
        case firstLine
        case fields
        case body(remaining: Int)
        case chunkLine
        case chunk(remaining: Int)
        case chunkEnd
        case trailers
        /// The step is the last one.
        case ended(Step)
    }

    private var state = State.firstLine
    /// What bytes mean that are not HTTP, where a request may start.
    private var otherwise = Step.notHTTP
    private var firstLine = HTTPFirstLineReader()
    private var lines = HTTPLineScanner()

    /// Reads on.
    ///
    /// - Parameter octets: All bytes that have not passed yet.
    /// - Returns: What to do with the bytes at the front.
    mutating func read(_ octets: UnsafeRawBufferPointer) -> Step {
        var passed = 0
        do {
            while true {
                let rest = UnsafeRawBufferPointer(rebasing: octets[passed...])
                switch state {
                case .ended(let step): return step
                case .firstLine where passed > 0: return .body(passed)
                case .firstLine:
                    if let step = readFirstLine(rest) { return step }
                case .fields: return try readFields(rest)
                case .body, .chunkLine, .chunk, .chunkEnd, .trailers:
                    guard let count = try readBody(rest) else {
                        return passed > 0 ? .body(passed) : .needsMore
                    }
                    passed += count
                }
            }
        } catch {
            let last = end(.invalid(error))
            // The bytes before the error are good.
            return passed > 0 ? .body(passed) : last
        }
    }

    private mutating func end(_ step: Step) -> Step {
        state = .ended(step)
        return step
    }

    // MARK: Head

    /// The next step; nil after a line that starts a request.
    private mutating func readFirstLine(_ octets: UnsafeRawBufferPointer) -> Step? {
        switch firstLine.read(octets) {
        case nil: return .needsMore
        case .notHTTP: return end(otherwise)
        case .invalid(let fault): return end(.invalid(fault))
        case .request:
            lines = HTTPLineScanner(at: firstLine.end)
            state = .fields
            return nil
        }
    }

    private mutating func readFields(
        _ octets: UnsafeRawBufferPointer
    ) throws(HTTPRequestFault) -> Step {
        while let line = try lines.next(in: octets) {
            guard line.isEmpty else { continue }
            let length = lines.start
            return try takeHead(Array(octets[firstLine.start..<length]), length: length)
        }
        return .needsMore
    }

    private mutating func takeHead(
        _ octets: [UInt8],
        length: Int
    ) throws(HTTPRequestFault) -> Step {
        let head = try HTTPFollowedHead(following: octets)
        let authority = try head.authority()
        guard !head.hidesNames else { throw .unreadableUpgrade }
        switch try head.bodyFraming() {
        case .length(0), .untilEnd: state = .firstLine
        case .length(let length): state = .body(remaining: length)
        case .chunked: state = .chunkLine
        }
        otherwise = head.maySwitchProtocols ? .opaque : .invalid(.trailingBytes)
        firstLine = HTTPFirstLineReader()
        lines = HTTPLineScanner()
        return .request(authority: authority, length: length)
    }

    // MARK: Body

    /// The length of the next piece that may pass; nil if there is none yet.
    private mutating func readBody(
        _ octets: UnsafeRawBufferPointer
    ) throws(HTTPRequestFault) -> Int? {
        switch state {
        case .body(let remaining):
            guard !octets.isEmpty else { return nil }
            let count = min(remaining, octets.count)
            state = count < remaining ? .body(remaining: remaining - count) : .firstLine
            return count
        case .chunk(let remaining):
            guard !octets.isEmpty else { return nil }
            let count = min(remaining, octets.count)
            state = count < remaining ? .chunk(remaining: remaining - count) : .chunkEnd
            return count
        case .chunkLine, .chunkEnd, .trailers:
            guard let line = try lines.next(in: octets) else { return nil }
            try follow(octets[line])
            defer { lines = HTTPLineScanner() }
            return lines.start
        case .firstLine, .fields, .ended: return nil
        }
    }

    /// Reads a line of the chunked coding (RFC 9112, section 7.1).
    private mutating func follow(
        _ line: UnsafeRawBufferPointer.SubSequence
    ) throws(HTTPRequestFault) {
        switch state {
        case .chunkLine:
            let size = try Self.chunkSize(line)
            state = size == 0 ? .trailers : .chunk(remaining: size)
        case .chunkEnd:
            guard line.isEmpty else { throw .ambiguousBody }
            state = .chunkLine
        case .trailers where line.isEmpty: state = .firstLine
        case .trailers: try HTTPFollowedHead.checkTrailer(Array(line))
        case .firstLine, .fields, .body, .chunk, .ended: break
        }
    }

    /// One to eight digits, and an extension that is ignored.
    private static func chunkSize(
        _ line: UnsafeRawBufferPointer.SubSequence
    ) throws(HTTPRequestFault) -> Int {
        let digits = String(decoding: line.prefix { $0 != UInt8(ascii: ";") }, as: UTF8.self)
        guard digits.allSatisfy(\.isHexDigit), (1...8).contains(digits.utf8.count),
            let size = Int(digits, radix: 16),
            line.allSatisfy({ $0 >= 0x20 && $0 != 0x7f || $0 == 0x09 })
        else { throw .ambiguousBody }
        return size
    }
}

/// Divides a buffer that grows into lines that end with CRLF; each byte is read once.
struct HTTPLineScanner {
    /// The start of the next line.
    private(set) var start: Int
    private var scanned: Int

    init(at start: Int = 0) {
        self.start = start
        scanned = start
    }

    /// The next line without its end; nil until it is complete.
    mutating func next(
        in octets: UnsafeRawBufferPointer
    ) throws(HTTPRequestFault) -> Range<Int>? {
        while scanned < octets.count {
            // The end of the line needs another byte.
            guard scanned + 1 < HTTPRequestFollower.maximumHeadLength else { throw .headTooLong }
            let octet = octets[scanned]
            if octet == 0x0d {
                guard scanned + 1 < octets.count else { return nil }
                guard octets[scanned + 1] == 0x0a else { throw .malformedHead }
                let line = start..<scanned
                start = scanned + 2
                scanned = start
                return line
            }
            // Servers that accept bare line feeds see other lines than those that do not.
            guard octet != 0x0a else { throw .malformedHead }
            scanned += 1
        }
        return nil
    }
}
