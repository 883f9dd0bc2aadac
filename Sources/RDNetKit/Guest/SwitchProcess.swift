/// `vm-switch` as a child: in the inner namespace, with the stream to the host as descriptor 3.
///
/// How it works: beside the stream it gets a unix socket, which the variable `LinkSupply.variable`
/// names. Our own `vm-switch` says by an octet on it that its stream has ended, and is handed the
/// next one with its interface, address and connections in place. Another's ignores it; when that
/// one ends, it is started anew. The stream is held by `vm-switch` alone, so that the host sees the
/// end when `vm-switch` ends.
final class SwitchProcess: ReadinessObserver {
    /// Where `vm-switch` finds the socket, behind the stream.
    private static let supplyNumber = 4
    /// Each is an octet; several together ask for one stream.
    private static let maximumRequests = 16

    private let loop: EventLoop
    private let supply: OwnedDescriptor
    private let wantsStream: () -> Void
    private var watch: EventLoop.Watch?
    private var child: ChildProcess?

    /// Starts it.
    ///
    /// - Parameters:
    ///   - command: Path, arguments and environment.
    ///   - network: The namespace to start it in.
    ///   - stream: The way to the host; closed here.
    ///   - loop: Waits for its end.
    ///   - wantsStream: Told when it needs a new stream.
    ///   - ended: Told once when it has ended.
    /// - Throws: `SystemError` when it cannot be started.
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
        // Programs that are handed a descriptor expect that it waits.
        try Socket.setBlocking(stream)
        var command = command
        command.set(LinkSupply.variable, to: "\(Self.supplyNumber)")
        command.readsNothing = true
        // Another's vm-switch leaves its DHCP client behind, which holds the interface.
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

    /// Its process number; nil when it has ended.
    var process: Int32? { child?.process }

    /// Hands it a new stream.
    ///
    /// - Parameter stream: The way to the host; closed here.
    /// - Throws: `SystemError` when it does not take it any more.
    func hand(_ stream: consuming OwnedDescriptor) throws(SystemError) {
        try DescriptorPassing.send(stream.number, over: supply)
    }

    /// Ends it and its children at once.
    func kill() {
        child?.terminate()
    }

    /// Lets it end by itself, and take back what it did.
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
            // Its end is told by the process itself.
            forgetSupply()
        }
    }

    private func forgetSupply() {
        if let watch { loop.forget(watch) }
        watch = nil
    }
}
