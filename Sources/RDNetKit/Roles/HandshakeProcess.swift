/// The handshake of `network-setup` in a child process without privileges.
///
/// How it works: `network-setup` needs every privilege of root to start init, so it must not read
/// bytes from outside. Only this child reads them: it listens, performs the handshake, connects to
/// the host, and passes each connected stream to its parent. It starts before its parent opens
/// anything, and enters a sandbox before it listens. It ends with its parent.
final class HandshakeProcess: ReadinessObserver {
    /// The parent's requests, one byte each.
    private enum Request: UInt8 {
        case start
        case reopenLog
    }

    /// The first byte of the child's reports.
    private enum Report {
        static let stream: UInt8 = 0
        /// Followed by the reason.
        static let failure: UInt8 = 1
    }

    /// Limit on a report in bytes.
    private static let maximumReport = 1_024

    /// The callbacks of the loop.
    struct Outcome {
        /// Receives each stream.
        var connected: (consuming OwnedDescriptor) -> Void
        /// Receives the reason why the child does not listen.
        var failed: (String) -> Void
        /// Called when the child has ended by itself.
        var ended: (ProcessEnd) -> Void
    }

    /// Whether it listens for a host.
    private(set) var isListening = false

    private let socket: OwnedDescriptor
    private let process: Int32
    private var child: ChildProcess?
    private var loop: EventLoop?
    private var watch: EventLoop.Watch?
    private var outcome: Outcome?

    /// Starts the child.
    ///
    /// - Parameter start: The role's settings, logger and output.
    /// - Throws: `SystemError`.
    init(_ start: RoleStart<NetworkSetupSettings>) throws(SystemError) {
        let pair = try Socket.pair(ofPackets: true)
        let other = pair.other.number
        var kept = [other]
        let link = start.settings.effectiveDataLink
        if case .descriptor(let number) = link { kept.append(number) }
        process = try Namespace.fork {
            WorkingChild.begin("rdnet-handshake", keeping: kept, start.logger)
            return HandshakeChild.run(start, OwnedDescriptor(adopting: other))
        }
        socket = pair.one
        if case .descriptor(let number) = link {
            // Closes this copy, so that the host sees the end of the stream.
            _ = try OwnedDescriptor.inherited(number)
        }
        start.logger.hasReopened = { [weak self] in self?.send(.reopenLog) }
    }

    /// Delivers the child's reports from now on.
    ///
    /// - Throws: `SystemError`.
    func report(to loop: EventLoop, _ outcome: Outcome) throws(SystemError) {
        self.loop = loop
        self.outcome = outcome
        watch = try loop.watch(socket.number, for: .readable, observer: self)
        child = try ChildProcess(adopting: process, on: loop) { [weak self] end, _ in
            self?.child = nil
            self?.outcome?.ended(end)
        }
    }

    /// Makes the child listen; does nothing if it already does.
    func start() {
        guard !isListening else { return }
        isListening = true
        send(.start)
    }

    /// Ignores the child's reports from now on.
    func ignore() {
        outcome = nil
        if let watch { loop?.forget(watch) }
        watch = nil
    }

    /// Closes the connection to the child, which ends then.
    func stop() {
        ignore()
        Socket.shutDownSending(socket)
    }

    /// Whether the child has ended.
    var hasEnded: Bool { child == nil }

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        do throws(SystemError) {
            let packet = try DescriptorPassing.receivePacket(
                over: socket,
                upTo: Self.maximumReport
            )
            guard let packet else { return }
            switch packet.octets.first {
            case Report.stream:
                isListening = false
                if let stream = packet.descriptor { outcome?.connected(stream) }
                return
            case Report.failure:
                isListening = false
                outcome?.failed(String(decoding: packet.octets.dropFirst(), as: UTF8.self))
                return
            default: break
            }
        } catch {
            // `ended` reports the end of the child.
        }
        if let watch { loop?.forget(watch) }
        watch = nil
    }

    private func send(_ request: Request) {
        do throws(SystemError) {
            _ = try Socket.send(socket, [request.rawValue])
        } catch {
            // `ended` reports the end of the child.
        }
    }

    /// The child's work.
    private final class HandshakeChild: ReadinessObserver {
        private let socket: OwnedDescriptor
        private let log: Logger
        private let loop: EventLoop
        private var handshake: GuestHandshake?

        static func run(
            _ start: RoleStart<NetworkSetupSettings>,
            _ socket: consuming OwnedDescriptor
        ) -> Int32 {
            do throws(SystemError) {
                return try HandshakeChild(start, socket).serve(start)
            } catch {
                start.logger.error("the handshake process failed", ["cause": "\(error)"])
                return 1
            }
        }

        private init(
            _ start: RoleStart<NetworkSetupSettings>,
            _ socket: consuming OwnedDescriptor
        ) throws(SystemError) {
            self.socket = socket
            log = start.logger
            loop = try EventLoop()
            let settings = start.settings
            handshake = GuestHandshake(
                GuestHandshake.Configuration(
                    port: settings.effectiveHandshakeLink,
                    host: settings.effectiveDataLink,
                    phrase: settings.handshake.phrase
                ),
                loop: loop,
                log: log
            ) { [unowned self] stream in pass(stream) }
        }

        private func serve(
            _ start: RoleStart<NetworkSetupSettings>
        ) throws(SystemError) -> Int32 {
            let sandbox = Sandbox(start.settings, log: log)
            let refused: RefusedCalls?
            do throws(RoleFailure) {
                let broker = try sandbox.prepare()
                refused = try sandbox.enter(with: broker, loop: loop)
            } catch {
                log.error(error.sentence)
                return 1
            }
            if sandbox.isProbe {
                return try SandboxProbe.run(on: loop, start.surroundings.printOutput).rawValue
            }
            _ = try loop.watch(socket.number, for: .readable, observer: self)
            try withExtendedLifetime(refused) { () throws(SystemError) in try loop.run() }
            handshake?.stop()
            return 0
        }

        func descriptorReady(_ readiness: Readiness, now: Instant) {
            do throws(SystemError) {
                guard let octets = try Socket.receive(socket, upTo: 1) else { return }
                switch octets.first.flatMap(Request.init) {
                case .start: listen()
                case .reopenLog: log.follow()
                case nil: loop.stop()
                }
            } catch {
                loop.stop()
            }
        }

        private func listen() {
            do throws(SystemError) {
                try handshake?.start()
            } catch {
                report([Report.failure] + Array("\(error)".utf8.prefix(maximumReport - 1)))
            }
        }

        private func pass(_ stream: consuming OwnedDescriptor) {
            do throws(SystemError) {
                try DescriptorPassing.send(stream.number, with: [Report.stream], over: socket)
            } catch {
                log.error("cannot pass on the host's stream", ["cause": "\(error)"])
                report([Report.failure] + Array("\(error)".utf8.prefix(maximumReport - 1)))
            }
        }

        private func report(_ octets: [UInt8]) {
            do throws(SystemError) {
                _ = try Socket.send(socket, octets)
            } catch {
                loop.stop()
            }
        }
    }
}

extension Sandbox {
    /// What the handshake needs: its two sockets.
    fileprivate init(_ settings: NetworkSetupSettings, log: Logger) {
        self.init(settings.sandbox, log: log)
        write(in: settings.common.logFile)
        listen(settings.effectiveHandshakeLink)
        if case .stream(.unix(let path), _) = settings.effectiveDataLink {
            connect(to: path)
        }
        // The sockets may be in another user's folder.
        grants.capabilities = [.dacOverride]
    }
}
