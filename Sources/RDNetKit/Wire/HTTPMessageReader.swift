/// One complete HTTP message.
struct HTTPMessage<Head: HTTPMessageHead>: Equatable {
    var head: Head
    var body: [UInt8]
}

typealias HTTPRequest = HTTPMessage<HTTPRequestHead>
typealias HTTPRequestReader = HTTPMessageReader<HTTPRequestHead>
typealias HTTPResponseReader = HTTPMessageReader<HTTPResponseHead>

/// Splits a byte stream into HTTP requests or responses (RFC 9112), in pieces of any size.
///
/// How it works: bytes are appended as they arrive; `next` consumes as many as it can and returns
/// what it found. The buffer never exceeds a head, a body and the bytes that one read added. After
/// an error the start of the next message is unknown, so the connection must close.
struct HTTPMessageReader<Head: HTTPMessageHead> {
    /// Limit on a chunk's size line, in bytes.
    private static var maximumChunkLineLength: Int { 1024 }

    /// The next element of the stream.
    enum Progress: Equatable {
        case needsMore
        /// The client waits for "100 Continue"; reported once per request.
        case continueExpected
        case message(HTTPMessage<Head>)
    }

    private enum State {
        case head
        case body(Head, remaining: Int)
        /// The body extends to the end of the stream.
        case rest(Head)
        case chunkLine(Head)
        case chunk(Head, remaining: Int)
        case chunkEnd(Head)
        case trailers(Head, octets: Int)
    }

    private var state = State.head
    private var buffer: [UInt8] = []
    /// The start of the unconsumed bytes.
    private var start = 0
    /// The position up to which no line end was found, so a line that arrives byte by byte is
    /// searched once.
    private var searched = 0
    private var lineIsEmpty = true
    private var body: [UInt8] = []

    /// Appends bytes of the stream.
    mutating func append(_ octets: UnsafeRawBufferPointer) {
        buffer.append(contentsOf: octets)
    }

    /// Discards the bytes after the last complete message.
    ///
    /// - Returns: Their count.
    mutating func dropRest() -> Int {
        let count = buffer.count - start
        consume(to: buffer.count)
        return count
    }

    /// The number of buffered bytes.
    var heldOctets: Int { buffer.count - start + body.count }

    /// Whether a message is incomplete.
    var isInsideMessage: Bool {
        if case .head = state { return start < buffer.count }
        return true
    }

    /// Consumes bytes up to the next element.
    mutating func next() throws(HTTPError) -> Progress {
        while true {
            let progress: Progress?
            switch state {
            case .head: progress = try readHead()
            case .body(let head, let remaining):
                progress = takeBody(remaining) { .body(head, remaining: $0) } ?? finish(head)
            case .rest: progress = try takeRest()
            case .chunkLine(let head): progress = try readChunkLine(head)
            case .chunk(let head, let remaining):
                progress = takeBody(remaining) { .chunk(head, remaining: $0) }
                if progress == nil { state = .chunkEnd(head) }
            case .chunkEnd(let head): progress = try readChunkEnd(head)
            case .trailers(let head, let octets): progress = try readTrailer(head, octets)
            }
            if let progress { return progress }
        }
    }

    /// The message that the end of the stream completes, if any.
    mutating func finishAtEnd() -> HTTPMessage<Head>? {
        guard case .rest(let head) = state, case .message(let message) = finish(head) else {
            return nil
        }
        return message
    }

    // MARK: Parts (nil: continue with the next part)

    private mutating func readHead() throws(HTTPError) -> Progress? {
        guard let end = headEnd() else {
            guard buffer.count - start <= Head.maximumLength else { throw .headTooLarge }
            return .needsMore
        }
        guard end - start <= Head.maximumLength else { throw .headTooLarge }
        let head = try Head(parsing: buffer[start..<end])
        consume(to: end)
        switch try head.framing() {
        case .length(let length):
            guard length <= Head.maximumBodyLength else { throw .bodyTooLarge }
            state = .body(head, remaining: length)
            guard length > 0 else { return nil }
        case .chunked: state = .chunkLine(head)
        case .untilEnd: state = .rest(head)
        }
        // A client that already sent part of the body does not wait for 100 Continue.
        return try head.expectsContinue() && start == buffer.count ? .continueExpected : nil
    }

    /// The index after the empty line that ends a head.
    private mutating func headEnd() -> Int? {
        searched = max(searched, start)
        if searched == start { lineIsEmpty = true }
        var sawLine = buffer[start..<searched].contains { $0 != 0x0d && $0 != 0x0a }
        while searched < buffer.count {
            let octet = buffer[searched]
            searched += 1
            if octet == 0x0a {
                if lineIsEmpty, sawLine { return searched }
                lineIsEmpty = true
            } else if octet != 0x0d {
                lineIsEmpty = false
                sawLine = true
            }
        }
        return nil
    }

    private mutating func takeBody(_ remaining: Int, _ rest: (Int) -> State) -> Progress? {
        let count = min(remaining, buffer.count - start)
        body.append(contentsOf: buffer[start..<(start + count)])
        consume(to: start + count)
        guard count < remaining else { return nil }
        state = rest(remaining - count)
        return .needsMore
    }

    private mutating func takeRest() throws(HTTPError) -> Progress {
        body.append(contentsOf: buffer[start...])
        consume(to: buffer.count)
        guard body.count <= Head.maximumBodyLength else { throw .bodyTooLarge }
        return .needsMore
    }

    private mutating func readChunkLine(_ head: Head) throws(HTTPError) -> Progress? {
        guard let line = try takeLine(maximumLength: Self.maximumChunkLineLength) else {
            return .needsMore
        }
        let digits = line.prefix { $0 != UInt8(ascii: ";") && $0 != 0x20 && $0 != 0x09 }
        let text = String(decoding: digits, as: UTF8.self)
        guard (1...8).contains(digits.count), text.allSatisfy(\.isHexDigit),
            let size = Int(text, radix: 16)
        else { throw .malformed("invalid chunk length") }
        guard size <= Head.maximumBodyLength - body.count else { throw .bodyTooLarge }
        state = size == 0 ? .trailers(head, octets: 0) : .chunk(head, remaining: size)
        return nil
    }

    private mutating func readChunkEnd(_ head: Head) throws(HTTPError) -> Progress? {
        guard let line = try takeLine(maximumLength: Self.maximumChunkLineLength) else {
            return .needsMore
        }
        guard line.isEmpty else { throw .malformed("malformed chunked encoding") }
        state = .chunkLine(head)
        return nil
    }

    private mutating func readTrailer(
        _ head: Head,
        _ octets: Int
    ) throws(HTTPError) -> Progress? {
        guard octets <= Head.maximumLength else { throw .headTooLarge }
        guard let line = try takeLine(maximumLength: Head.maximumLength) else { return .needsMore }
        if line.isEmpty { return finish(head) }
        state = .trailers(head, octets: octets + line.count + 2)
        return nil
    }

    private mutating func finish(_ head: Head) -> Progress {
        let message = HTTPMessage(head: head, body: body)
        body = []
        state = .head
        return .message(message)
    }

    /// The next line without its terminator; nil if it is incomplete.
    private mutating func takeLine(maximumLength: Int) throws(HTTPError) -> [UInt8]? {
        searched = max(searched, start)
        guard let end = buffer[searched...].firstIndex(of: 0x0a) else {
            searched = buffer.count
            guard buffer.count - start <= maximumLength else { throw .headTooLarge }
            return nil
        }
        guard end - start <= maximumLength else { throw .headTooLarge }
        let line = buffer[start..<end]
        let bare = Array(line.last == 0x0d ? line.dropLast() : line)
        consume(to: end + 1)
        return bare
    }

    private mutating func consume(to index: Int) {
        start = index
        searched = index
        guard start == buffer.count || start > Head.maximumLength else { return }
        buffer.removeSubrange(..<start)
        start = 0
        searched = 0
    }
}
