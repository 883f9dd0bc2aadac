/// Runs `vpnkit`: the engine, and a unix socket at which its clients connect.
enum VPNKitSession {
    /// Serves until a signal ends it.
    ///
    /// - Parameter start: Settings and logger.
    /// - Returns: Success.
    /// - Throws: `RoleFailure` if it cannot start or continue.
    static func run(_ start: RoleStart<VPNKitSettings>) throws(RoleFailure) -> ExitCode {
        SignalWatch.block(RoleSignals.always)
        ProcessLimits.raiseDescriptors()
        do {
            let loop = try EventLoop()
            let network = HostNetwork(start.settings.network, loop: loop, log: start.logger)
            defer { network.stop() }
            return try serve(start, network)
        } catch {
            throw RoleFailure(wrapping: error)
        }
    }

    private static func serve(
        _ start: RoleStart<VPNKitSettings>,
        _ network: HostNetwork
    ) throws -> ExitCode {
        let (settings, loop, log) = (start.settings, network.loop, start.logger)
        var sandbox = Sandbox(
            settings.sandbox,
            network.settings,
            logFile: settings.common.logFile,
            log: log
        )
        sandbox.listen(settings.link)
        let broker = try sandbox.prepare()
        try network.open()
        try network.open(settings.link)
        let signals = try RoleSignals(
            log: log,
            loop: loop,
            toggled: { network.toggleCapture() },
            ended: { _ in loop.stop() }
        )
        let refused = try sandbox.enter(with: broker, loop: loop)
        if sandbox.isProbe {
            return try SandboxProbe.run(on: loop, start.surroundings.printOutput)
        }
        try withExtendedLifetime((signals, refused)) { () throws(SystemError) in try loop.run() }
        return .success
    }
}
