/// `vm-switch` as a child process in the inner namespace, with the host's stream as descriptor 3.
///
/// How it works: `vm-switch` also gets a unix socket, which the variable `LinkSupply.variable`
/// names. rdnet's own `vm-switch` sends a byte on it when its stream has ended, and receives a new
/// stream while its interface, address and connections stay. Another implementation ignores the
/// socket; when it ends, it is restarted. Only `vm-switch` holds the stream, so the host sees the
/// end of the stream when `vm-switch` ends.
final class SwitchProcess: ReadinessObserver {
    /// The descriptor of the socket in `vm-switch`, after the stream's.
    private static let supplyNumber = 4
    /// Each request is a byte; several together request one stream.
    private static let maximumRequests = 16

    private let loop: EventLoop
    private let supply: OwnedDescriptor
    private let wantsStream: () -> Void
    private var watch: EventLoop.Watch?
    private var child: ChildProcess?

    /// Creates the object and starts the process.
    ///
    /// - Parameters:
    ///   - command: Path, arguments and environment.
    ///   - network: The namespace to start it in.
    ///   - stream: The stream to the host; closed in this process.
    ///   - loop: Waits for its end.
    ///   - wantsStream: Called when it needs a new stream.
    ///   - ended: Called once when it has ended.
    /// - Throws: `SystemError` if it cannot be started.
    init(
        _ command: ChildProcess.Command,
        in network: borrowing OwnedDescriptor,
        stream: consuming OwnedDescriptor,
        on loop: EventLoop,
        wantsStream: @escaping () -> Void,
        ended: @escaping (ProcessEnd, Instant) -> Void
    ) throws(SystemError) {
        self.loop = loop
        self.wantsStream = wantsStream
        let pair = try Socket.pair()
        supply = pair.one
        // Programs expect an inherited descriptor to be blocking.
        try Socket.setBlocking(stream)
        var command = command
        command.set(LinkSupply.variable, to: "\(Self.supplyNumber)")
        command.readsNothing = true
        // Another implementation leaves its DHCP client running, which holds the interface.
        command.leadsGroup = true
        command.endsGroup = true
        command.descriptors = [nil, nil, nil, stream.number, pair.other.number]
        watch = try loop.watch(supply.number, for: .readable, observer: self)
        do {
            child = try Namespace.within(network) { () throws(SystemError) in
                try ChildProcess(command, on: loop) { [weak self] end, now in
                    self?.forgetSupply()
                    self?.child = nil
                    ended(end, now)
                }
            }
        } catch {
            forgetSupply()
            throw error
        }
    }

    /// The process ID; nil after the process has ended.
    var process: Int32? { child?.process }

    /// Passes a new stream to the process.
    ///
    /// - Parameter stream: The stream to the host; closed in this process.
    /// - Throws: `SystemError` if the process no longer accepts it.
    func hand(_ stream: consuming OwnedDescriptor) throws(SystemError) {
        try DescriptorPassing.send(stream.number, over: supply)
    }

    /// Kills the process and its children immediately.
    func kill() {
        child?.terminate()
    }

    /// Asks the process to end, so that it can undo its changes.
    func end() {
        child?.send(signal: ProcessSignal.terminate.number)
    }

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        do {
            guard let octets = try Socket.receive(supply, upTo: Self.maximumRequests) else {
                return
            }
            if octets.isEmpty { forgetSupply() } else { wantsStream() }
        } catch {
            // `ended` reports the end of the process.
            forgetSupply()
        }
    }

    private func forgetSupply() {
        if let watch { loop.forget(watch) }
        watch = nil
    }
}
