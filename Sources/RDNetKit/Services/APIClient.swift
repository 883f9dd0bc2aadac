/// The reason why an API request failed.
enum APIFailure: Error, Equatable, CustomStringConvertible {
    case noConnection(StreamAddress, SystemError)
    /// The connection succeeded, but no complete answer arrived.
    case noAnswer(StreamAddress, reason: String)
    /// The API's own error text.
    case refused(String)
    /// The server does not know the path.
    case unknownPath(StreamAddress, String)

    /// The reason as one line of text.
    var description: String {
        switch self {
        case .noConnection(let address, let error):
            "\(address): \(SystemError.message(error.errno)); "
                + "expected the API of a host-switch or gvproxy there"
        case .noAnswer(let address, let reason): "\(address): \(reason)"
        case .refused(let text): text
        case .unknownPath(let address, let path): "\(address): it has no \(path)"
        }
    }
}

/// A connection that leads to a guest.
struct Tunnel: ~Copyable {
    let stream: OwnedDescriptor
    /// Whether the guest has accepted the connection; if false, its answer is not known yet.
    let isConnected: Bool
}

/// A connection that keeps a forward open.
struct HeldConnection: ~Copyable {
    let stream: WaitingSocket
    /// Where the forward listens, one text for each port.
    let addresses: [String]

    /// Gives up the connection without closing it.
    consuming func release() -> OwnedDescriptor { stream.descriptor }
}

/// A response's body that lasts as long as its connection.
struct EndlessBody: ~Copyable {
    let stream: WaitingSocket
    /// The part of the body that has arrived.
    var start: [UInt8]

    /// Gives up the part that has arrived.
    consuming func release() -> WaitingSocket { stream }
}

/// A blocking client of the HTTP API, for a program that does nothing else meanwhile.
struct APIClient {
    /// The time limit from the start of a request to the end of its answer.
    static let patience: Duration = .seconds(10)
    /// The same limit for a tunnel: longer than the time that a guest has to answer a connect.
    static let tunnelPatience: Duration = .seconds(15)
    private static let octetsPerRead = 65_536

    let address: StreamAddress
    /// The API's bearer token, if it needs one.
    let token: String?
    let log: Logger
    let clock: () -> Instant

    /// The name or address of the API, for the Host field.
    private var host: String {
        switch address {
        // A URL has no zone in it for the server (RFC 6874, 4).
        case .tcp(let endpoint): "\(endpoint.endpoint)"
        case .unix, .vsock: "rdnet"
        }
    }

    /// Sends one request and waits for the answer.
    ///
    /// - Parameters:
    ///   - path: The path with its query.
    ///   - body: The body of a request that changes something, which is sent as a POST.
    /// - Returns: The bytes of the answer.
    /// - Throws: `APIFailure`, also for a status that is not a success.
    func ask(_ path: String, body: [UInt8]? = nil) throws(APIFailure) -> [UInt8] {
        let deadline = clock() + Self.patience
        let socket = try connect(until: deadline)
        try send(path, body: body, over: socket, until: deadline)
        return try readAnswer(HTTPResponseReader(), to: path, from: socket, until: deadline)
    }

    /// Opens a connection to a guest's TCP port.
    ///
    /// - Parameter guest: An endpoint in the virtual network.
    /// - Returns: The connection. Through gvproxy, the guest may still refuse it; it then closes.
    /// - Throws: `APIFailure`.
    func openTunnel(to guest: Endpoint) throws(APIFailure) -> Tunnel {
        let path = "/tunnel?ip=\(guest.address)&port=\(guest.port)&wait=true"
        let deadline = clock() + Self.tunnelPatience
        let socket = try connect(until: deadline)
        try send(path, body: [], over: socket, until: deadline)
        // Read only these two bytes: everything after them comes from the guest.
        var start: [UInt8] = []
        while start.count < 2 {
            let octets = try receive(upTo: 2 - start.count, from: socket, until: deadline)
            guard !octets.isEmpty else { throw ended }
            start += octets
        }
        let isConnected = start == GuestAccessAPI.guestIsThere
        if isConnected || start == Array("OK".utf8) {
            return Tunnel(stream: socket.descriptor, isConnected: isConnected)
        }
        var reader = HTTPResponseReader()
        start.withUnsafeBytes { reader.append($0) }
        _ = try readAnswer(reader, to: path, from: socket, until: deadline)
        throw .noAnswer(address, reason: "\(path) did not answer as a tunnel")
    }

    /// Opens a forward that lasts as long as the returned connection.
    ///
    /// - Parameters:
    ///   - body: The same document as for `expose`.
    ///   - limit: Time limit for the connection alone.
    /// - Returns: The connection, and where the forward listens.
    /// - Throws: `APIFailure`.
    func hold(
        _ body: [UInt8],
        connectingWithin limit: Duration = patience
    ) throws(APIFailure) -> HeldConnection {
        let path = ForwardingAPI.holdPath
        var body = try openBody(of: path, body: body, connectingWithin: limit)
        let deadline = clock() + Self.patience
        while body.start.last != 0x0a {
            let octets = try receive(upTo: Self.octetsPerRead, from: body.stream, until: deadline)
            guard !octets.isEmpty else { throw ended }
            body.start += octets
        }
        let addresses = String(decoding: body.start, as: UTF8.self)
            .split(separator: "\n").map { String($0) }
        return HeldConnection(stream: body.release(), addresses: addresses)
    }

    /// Opens a response that has no end, such as a list of events.
    ///
    /// - Parameters:
    ///   - path: The path with its query.
    ///   - body: The body of a POST; nil for a GET.
    ///   - limit: Time limit for the connection alone.
    /// - Returns: The connection, from which the body can be read.
    /// - Throws: `APIFailure`, also for a status that is not a success.
    func openBody(
        of path: String,
        body: [UInt8]? = nil,
        connectingWithin limit: Duration = patience
    ) throws(APIFailure) -> EndlessBody {
        let begin = clock()
        let deadline = begin + Self.patience
        let socket = try connect(until: begin + limit)
        try send(path, body: body, over: socket, until: deadline)
        let success = Array("HTTP/1.1 200 ".utf8)
        let end = Array("\r\n\r\n".utf8)
        var start: [UInt8] = []
        while start.count < success.count || start.starts(with: success) {
            if let head = start.indices.first(where: { start[$0...].starts(with: end) }) {
                return EndlessBody(stream: socket, start: Array(start[(head + end.count)...]))
            }
            let octets = try receive(upTo: Self.octetsPerRead, from: socket, until: deadline)
            guard !octets.isEmpty else { throw ended }
            start += octets
        }
        var reader = HTTPResponseReader()
        start.withUnsafeBytes { reader.append($0) }
        _ = try readAnswer(reader, to: path, from: socket, until: deadline)
        throw .noAnswer(address, reason: "\(path) did not answer with a body of its own")
    }

    private var ended: APIFailure {
        .noAnswer(address, reason: "the connection ended before the answer")
    }

    // MARK: Connection

    private func connect(until deadline: Instant) throws(APIFailure) -> WaitingSocket {
        do throws(SystemError) {
            let dialed = try LinkOpener.dial(address)
            let isConnected = dialed.isConnected
            let socket = WaitingSocket(dialed.descriptor)
            if !isConnected {
                try socket.finishConnecting(to: "\(address)", within: deadline - clock())
            }
            return socket
        } catch {
            throw .noConnection(address, error)
        }
    }

    private func send(
        _ path: String,
        body: [UInt8]?,
        over socket: borrowing WaitingSocket,
        until deadline: Instant
    ) throws(APIFailure) {
        log.debug("asking", ["api": "\(address)", "path": path])
        var head = "\(body == nil ? "GET" : "POST") \(path) HTTP/1.1\r\nHost: \(host)\r\n"
        if let token { head += "Authorization: Bearer \(token)\r\n" }
        if let body { head += "Content-Length: \(body.count)\r\n" }
        do {
            let octets = Array((head + "\r\n").utf8) + (body ?? [])
            try socket.send(octets, within: deadline - clock())
        } catch {
            throw failure(error)
        }
    }

    private func receive(
        upTo count: Int,
        from socket: borrowing WaitingSocket,
        until deadline: Instant
    ) throws(APIFailure) -> [UInt8] {
        do {
            return try socket.receive(upTo: count, within: deadline - clock())
        } catch {
            throw failure(error)
        }
    }

    private func failure(_ error: SystemError) -> APIFailure {
        let reason =
            error.isTimeout ? "no answer in time" : SystemError.message(error.errno)
        return .noAnswer(address, reason: reason)
    }

    // MARK: Answer

    /// Reads a complete response.
    ///
    /// - Returns: The body of the response.
    private func readAnswer(
        _ begun: HTTPResponseReader,
        to path: String,
        from socket: borrowing WaitingSocket,
        until deadline: Instant
    ) throws(APIFailure) -> [UInt8] {
        var reader = begun
        do {
            while true {
                while case .message(let answer) = try reader.next() {
                    if !answer.head.isInterim { return try content(of: answer, path) }
                }
                let octets = try receive(
                    upTo: Self.octetsPerRead,
                    from: socket,
                    until: deadline
                )
                octets.withUnsafeBytes { reader.append($0) }
                guard octets.isEmpty else { continue }
                guard let answer = reader.finishAtEnd() else { throw ended }
                return try content(of: answer, path)
            }
        } catch let failure as APIFailure {
            throw failure
        } catch let error as HTTPError {
            let detail = error.detail ?? "its head is too long"
            throw .noAnswer(address, reason: "this is not the API: \(detail)")
        } catch {
            throw .noAnswer(address, reason: "\(error)")
        }
    }

    /// Returns the body of a successful response.
    ///
    /// - Throws: `APIFailure` with the error's own text.
    private func content(
        of answer: HTTPMessage<HTTPResponseHead>,
        _ path: String
    ) throws(APIFailure) -> [UInt8] {
        log.debug("answered", ["path": path, "status": "\(answer.head.status)"])
        switch answer.head.status {
        case 200..<300: return answer.body
        case 404: throw .unknownPath(address, path)
        default:
            // Make one printable line from the first 1,000 bytes of the error.
            let text = String(decoding: answer.body.prefix(1_000), as: UTF8.self)
                .split { $0.isNewline }.joined(separator: " ").printable
            throw .refused(
                text.isEmpty ? "the API answers with status \(answer.head.status)" : text
            )
        }
    }
}
