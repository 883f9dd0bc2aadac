/// Runs a udhcpc script that configures the interface.
///
/// How it works: the client runs `script EVENT` with the lease in the environment
/// (`DHCPScriptEnvironment`), as udhcpc does. Scripts run one at a time, in order. A script that
/// takes longer than half a minute is killed with its children, so a stuck script delays the next
/// one only for a limited time. If changes arrive faster than the script runs, the oldest waiting
/// ones are dropped, because the last one describes the current state. The script inherits only the
/// descriptors 0, 1 and 2.
final class DHCPScript: LeaseRecipient {
    static let patience: Duration = .seconds(30)
    private static let maximumWaiting = 8

    private let path: String
    private let interface: String
    private let environment: [String]
    private let loop: EventLoop
    private let log: Logger
    private var waiting: [(change: LeaseChange, done: () -> Void)] = []
    private var running: ChildProcess?
    private var deadline: TimerWheel.Token?

    /// Creates a recipient that runs a script.
    ///
    /// - Parameters:
    ///   - path: The script.
    ///   - interface: The interface's name.
    ///   - environment: Variables that the script inherits, such as NOTIFY_SOCKET; `NAME=value`.
    ///   - loop: Waits for the script.
    ///   - log: For scripts that fail.
    init(path: String, interface: String, environment: [String], loop: EventLoop, log: Logger) {
        self.path = path
        self.interface = interface
        self.environment = environment
        self.loop = loop
        self.log = log
    }

    func apply(_ change: LeaseChange, done: @escaping () -> Void) {
        if waiting.count == Self.maximumWaiting { waiting.removeFirst().done() }
        waiting.append((change, done))
        if running == nil { runNext() }
    }

    private func runNext() {
        while running == nil, !waiting.isEmpty {
            let next = waiting.removeFirst()
            run(DHCPScriptEnvironment(next.change, interface: interface), done: next.done)
        }
    }

    private func run(_ contract: DHCPScriptEnvironment, done: @escaping () -> Void) {
        let command = ChildProcess.Command(
            path: path,
            arguments: [contract.event],
            environment: contract.variables(inheriting: environment),
            leadsGroup: true
        )
        do throws(SystemError) {
            let child = try ChildProcess(command, on: loop) { [self] end, _ in
                finish(contract.event, end)
                done()
                runNext()
            }
            running = child
            deadline = loop.after(Self.patience) { [log, path] _ in
                log.error("\(path) \(contract.event): still running after \(Self.patience); killed")
                child.terminate()
            }
        } catch {
            log.error("\(path) \(contract.event): \(error)")
            done()
        }
    }

    private func finish(_ event: String, _ end: ProcessEnd) {
        if let deadline { loop.cancel(deadline) }
        deadline = nil
        running = nil
        if end != .exited(0) { log.warning("\(path) \(event): \(end)") }
    }
}
