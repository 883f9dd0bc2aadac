/// Finds the processes behind connection attempts from a namespace, by way of a child inside it.
///
/// How it works: the child is started in the namespace before the command, and keeps the one
/// privilege that looking into other processes takes; it reads `/proc` and can do nothing else. Its
/// answers are for people to read, and nothing depends on them: a process can call itself anything.
/// When the child ends, every answer is nil.
final class ProcessFinder: ReadinessObserver {
    private static let maximumUnderWay = 32

    private let child: OwnedDescriptor
    private let loop: EventLoop
    private var watch: EventLoop.Watch?
    private var underWay: [(String?) -> Void] = []

    /// Creates a client and starts waiting for answers.
    ///
    /// - Parameters:
    ///   - child: A packet socket connected to the child.
    ///   - loop: Reports the answers.
    /// - Throws: `SystemError` if the loop cannot watch the socket.
    init(_ child: consuming OwnedDescriptor, loop: EventLoop) throws(SystemError) {
        self.child = child
        self.loop = loop
        watch = try loop.watch(self.child.number, for: .readable, observer: self)
    }

    /// Whether another question can be asked at the moment.
    var hasRoom: Bool { watch != nil && underWay.count < Self.maximumUnderWay }

    /// Asks which process is connecting to an endpoint, or has a connection from a port to it.
    ///
    /// - Parameters:
    ///   - remote: As the namespace sees it.
    ///   - port: The process's own; 0 for any that is connecting.
    ///   - take: Called once, with the process as people read it; nil if it is unknown, or too many
    ///     questions are open.
    func find(
        connectingTo remote: Endpoint,
        from port: UInt16 = 0,
        _ take: @escaping (String?) -> Void
    ) {
        guard hasRoom else { return take(nil) }
        do {
            let question = ProcessQuestion.octets(remote, from: port)
            guard try Socket.send(child, question) != nil else { return take(nil) }
            underWay.append(take)
        } catch {
            take(nil)
            close()
        }
    }

    /// Answers every open question with nil.
    func close() {
        if let watch { loop.forget(watch) }
        watch = nil
        let takers = underWay
        underWay = []
        for take in takers { take(nil) }
    }

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        for _ in 0..<Self.maximumUnderWay where watch != nil {
            do {
                guard let reply = try Socket.receive(child, upTo: ProcessQuestion.maximumReply)
                else { return }
                // The end of the child reads as an empty packet, so its answers are never empty.
                guard !reply.isEmpty, !underWay.isEmpty else { return close() }
                underWay.removeFirst()(ProcessQuestion.process(reading: reply))
            } catch {
                return close()
            }
        }
    }
}

/// The child of `ProcessFinder`.
final class ProcessFinderChild: ReadinessObserver {
    private let parent: OwnedDescriptor
    private let loop: EventLoop
    private let tables: [SocketTableFile]

    /// Starts the child in this thread's network namespace.
    ///
    /// - Parameters:
    ///   - parent: A packet socket.
    ///   - isRestricted: Whether it gives up the privileges that its work does not need.
    ///   - log: For failures.
    /// - Throws: `SystemError` if no process can be created.
    static func start(
        for parent: consuming OwnedDescriptor,
        isRestricted: Bool,
        _ log: Logger
    ) throws(SystemError) {
        let socket = parent.number
        _ = try Namespace.fork {
            WorkingChild.begin("rdnet-processes", keeping: [socket], log)
            do throws(SystemError) {
                let child = try ProcessFinderChild(OwnedDescriptor(adopting: socket))
                if isRestricted { try child.restrict() }
                try child.loop.run()
                return 0
            } catch {
                log.error("processes cannot be looked up", ["cause": "\(error)"])
                return 1
            }
        }
        _ = consume parent
    }

    private init(_ parent: consuming OwnedDescriptor) throws(SystemError) {
        self.parent = parent
        loop = try EventLoop()
        tables = try SocketTableFile.openAll(["tcp", "tcp6"])
        _ = try loop.watch(self.parent.number, for: .readable, observer: self)
    }

    private func restrict() throws(SystemError) {
        try Privileges.refuseNew()
        if try Privileges.has(.sysPtrace) { try Privileges.reduce(to: [.sysPtrace]) }
        try Privileges.hideMemory()
        try SandboxCalls.processFinder().enforceIfSupported()
    }

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        do {
            guard let octets = try Socket.receive(parent, upTo: ProcessQuestion.length + 1) else {
                return
            }
            guard let remote = ProcessQuestion.remote(reading: octets.span.bytes) else {
                return loop.stop()
            }
            let port = ProcessQuestion.port(reading: octets.span.bytes)
            let reply = try process(connectingTo: remote, from: port).map {
                ProcessQuestion.reply(process: $0.number, name: $0.name)
            }
            _ = try Socket.send(parent, reply ?? [0])
        } catch {
            loop.stop()
        }
    }

    private func process(
        connectingTo remote: Endpoint,
        from port: UInt16?
    ) throws(SystemError) -> SocketOwner.Process? {
        for table in tables {
            if let inode = try table.socket(connectingTo: remote, from: port) {
                return SocketOwner.process(of: inode)
            }
        }
        return nil
    }
}
