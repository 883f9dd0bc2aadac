/// slirp4netns's API socket: one JSON request and one answer for each connection.
///
///     {"execute": "add_hostfwd",
///         "arguments": {"proto": "tcp", "host_port": 8080, "guest_port": 80}}
///     {"return": {"id": 1}}
final class ForwardSocket {
    /// Limit on a request's length.
    static let maximumLength = 4_096
    /// Limit on connections.
    static let maximumConnections = 64
    /// Time limit for a request and for its answer.
    static let patience: Duration = .seconds(10)

    /// A forward that a caller has added.
    private struct Forward {
        var handle: ForwardHandle
        var transport: ForwardProtocol
        var host: Endpoint
        var guest: Endpoint
    }

    private let table: ForwardTable
    private let guest: IPAddress
    private let subnet: Subnet
    private let prefix: IPv6Prefix?
    private let log: Logger
    private var listener: StreamListener?
    private var forwards: [UInt64: Forward] = [:]
    private var lastID: UInt64 = 0
    private var connections: [ObjectIdentifier: ForwardSocketConnection] = [:]

    /// Starts to listen.
    ///
    /// - Parameters:
    ///   - path: The socket; a stale one without a listener is replaced.
    ///   - table: Opens the forwards.
    ///   - guest: The destination of forwards that name none.
    ///   - subnet: Where destinations may be.
    ///   - prefix: Where destinations may be in IPv6; nil without it.
    ///   - log: One line for each forward.
    /// - Throws: `SystemError` if the path is unavailable.
    init(
        at path: String,
        _ table: ForwardTable,
        guest: IPAddress,
        subnet: Subnet,
        prefix: IPv6Prefix? = nil,
        log: Logger
    ) throws(SystemError) {
        self.table = table
        self.guest = guest
        self.subnet = subnet
        self.prefix = prefix
        self.log = log
        listener = try StreamListener(
            ListeningSocket.unix(path: path),
            path: path,
            loop: table.loop,
            log: log,
            limits: table.limits,
            admitting: { [unowned self] in connections.count < Self.maximumConnections }
        ) { [unowned self] stream, _ in accept(stream) }
    }

    /// Stops listening and closes every forward.
    func close() {
        listener?.close()
        for connection in Array(connections.values) { connection.close() }
        forwards = [:]
    }

    private func accept(_ stream: consuming OwnedDescriptor) {
        do {
            let connection = try ForwardSocketConnection(
                stream,
                loop: table.loop,
                answering: { [unowned self] in answer($0) },
                ended: { [unowned self] in connections[ObjectIdentifier($0)] = nil }
            )
            connections[ObjectIdentifier(connection)] = connection
        } catch {
            log.warning("request not received", ["cause": "\(error)"])
        }
    }

    // MARK: Requests

    private enum Fault: Error {
        /// With slirp4netns's words.
        case bad(String)
    }

    /// Answers a request.
    ///
    /// - Parameter octets: What has arrived.
    /// - Returns: The answer; nil if the request is incomplete.
    func answer(_ octets: [UInt8]) -> [UInt8]? {
        let request: JSON
        do throws(JSONError) {
            request = try JSONParser.parse(octets)
        } catch {
            return error.isIncomplete ? nil : Self.failure("bad request: \(error)").octets
        }
        do throws(Fault) {
            let result = try execute(request)
            return JSON.object([.init("return", result)]).octets
        } catch {
            switch error {
            case .bad(let text): return Self.failure("bad request: \(text)").octets
            }
        }
    }

    /// An answer that reports a failure.
    static func failure(_ text: String) -> JSON {
        .object([.init("error", .object([.init("desc", .string(text))]))])
    }

    private func execute(_ request: JSON) throws(Fault) -> JSON {
        guard case .string(let command)? = request.member("execute") else {
            throw .bad("no execute")
        }
        let arguments = request.member("arguments") ?? .object([])
        switch command {
        case "add_hostfwd": return try add(arguments)
        case "list_hostfwd": return list
        case "remove_hostfwd": return try remove(arguments)
        default: throw .bad("unknown execute \(command)")
        }
    }

    private func add(_ arguments: JSON) throws(Fault) -> JSON {
        let command = "add_hostfwd"
        guard case .string(let name)? = arguments.member("proto"),
            let transport = ["tcp": ForwardProtocol.tcp, "udp": .udp, "tcp4": .tcp, "udp4": .udp][
                name
            ]
        else { throw .bad("\(command): bad arguments.proto: expected tcp or udp") }
        let host = Endpoint(
            address: try address(arguments, "host_addr", command) ?? .anyIPv4,
            port: try port(arguments, "host_port", command)
        )
        let target = Endpoint(
            address: try address(arguments, "guest_addr", command) ?? guest,
            port: try port(arguments, "guest_port", command)
        )
        let isInside = prefix?.contains(target.address) ?? false
        guard isInside || subnet.contains(target.address) else {
            let networks = "\(subnet)" + (prefix.map { " or \($0)" } ?? "")
            throw .bad("\(command): bad arguments.guest_addr: expected an address in \(networks)")
        }
        do {
            let handle = try table.open(transport, at: host, to: target, owner: .host)
            lastID += 1
            forwards[lastID] = Forward(
                handle: handle,
                transport: transport,
                host: host,
                guest: target
            )
            log.info("forward added", ["host": "\(host)/\(transport)", "guest": "\(target)"])
            return .object([.init("id", .integer(lastID))])
        } catch {
            let cause = "\(error)"
            log.warning("forward not added", ["host": "\(host)/\(transport)", "cause": cause])
            throw .bad("\(command): slirp_add_hostfwd failed: \(cause)")
        }
    }

    private var list: JSON {
        let entries = forwards.sorted { $0.key < $1.key }.map { id, forward in
            JSON.object([
                .init("id", .integer(id)),
                .init("proto", .string(forward.transport.rawValue)),
                .init("host_addr", .string("\(forward.host.address)")),
                .init("host_port", .integer(UInt64(forward.host.port))),
                .init("guest_addr", .string("\(forward.guest.address)")),
                .init("guest_port", .integer(UInt64(forward.guest.port))),
            ])
        }
        return .object([.init("entries", .array(entries))])
    }

    private func remove(_ arguments: JSON) throws(Fault) -> JSON {
        guard case .number(let digits)? = arguments.member("id"), let id = UInt64(digits),
            let forward = forwards.removeValue(forKey: id)
        else { throw .bad("remove_hostfwd: bad arguments.id") }
        forward.handle.close()
        log.info("forward removed", ["host": "\(forward.host)/\(forward.transport)"])
        return .object([])
    }

    private func address(
        _ arguments: JSON,
        _ name: String,
        _ command: String
    ) throws(Fault) -> IPAddress? {
        switch arguments.member(name) {
        case nil, .null?, .string("")?: return nil
        case .string(let text)?:
            if let address = IPAddress(text) { return address }
        default: break
        }
        throw .bad("\(command): bad arguments.\(name): expected an IP address")
    }

    private func port(
        _ arguments: JSON,
        _ name: String,
        _ command: String
    ) throws(Fault) -> UInt16 {
        guard case .number(let digits)? = arguments.member(name), let port = UInt16(digits),
            port > 0
        else { throw .bad("\(command): bad arguments.\(name): expected a number from 1 to 65535") }
        return port
    }
}

/// One caller's connection, until its request is answered.
private final class ForwardSocketConnection: ReadinessObserver, TimerObserver {
    private let stream: OwnedDescriptor
    private let loop: EventLoop
    private let answering: ([UInt8]) -> [UInt8]?
    private let ended: (ForwardSocketConnection) -> Void
    private var watch: EventLoop.Watch?
    private var deadline: TimerWheel.Token?
    private var request: [UInt8] = []
    /// Empty until the request is complete.
    private var answer: [UInt8] = []

    init(
        _ stream: consuming OwnedDescriptor,
        loop: EventLoop,
        answering: @escaping ([UInt8]) -> [UInt8]?,
        ended: @escaping (ForwardSocketConnection) -> Void
    ) throws(SystemError) {
        self.stream = stream
        self.loop = loop
        self.answering = answering
        self.ended = ended
        watch = try loop.watch(self.stream.number, for: .readable, observer: self)
        deadline = loop.schedule(loop.now + ForwardSocket.patience, observer: self)
    }

    func close() {
        guard let watch else { return }
        self.watch = nil
        loop.forget(watch)
        if let deadline { loop.cancel(deadline) }
        deadline = nil
        ended(self)
    }

    func timerFired(now: Instant) {
        deadline = nil
        close()
    }

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        do throws(SystemError) {
            if answer.isEmpty { try read() }
            if !answer.isEmpty { try write() }
        } catch {
            close()
        }
    }

    private func read() throws(SystemError) {
        let room = ForwardSocket.maximumLength - request.count
        guard let octets = try Socket.receive(stream, upTo: room + 1) else { return }
        request += octets
        guard request.count <= ForwardSocket.maximumLength else {
            answer = ForwardSocket.failure("bad request: too long").octets
            return
        }
        if let complete = answering(request) {
            answer = complete
        } else if octets.isEmpty {
            answer = ForwardSocket.failure("bad request: incomplete").octets
        }
    }

    private func write() throws(SystemError) {
        while !answer.isEmpty {
            guard let count = try Socket.send(stream, answer, from: 0) else {
                if let watch { loop.change(watch, to: .writable) }
                return
            }
            answer.removeFirst(count)
        }
        close()
    }
}
