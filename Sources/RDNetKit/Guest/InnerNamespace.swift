/// The network namespace of the containers and of `vm-switch`: a new one with an init in it, or a
/// systemd service's.
///
/// All processes in a new namespace end with it: init and its descendants.
final class InnerNamespace {
    static let nsenter = "/usr/bin/nsenter"
    static let unshare = "/usr/bin/unshare"

    let network: OwnedDescriptor
    private let isOurs: Bool
    /// A process in the mount namespace of the residents; nil before it exists.
    private(set) var process: Int32?
    private let residents = NamespaceResidents()
    private var initProcess: ChildProcess?

    /// Creates a new namespace.
    ///
    /// - Throws: `SystemError` with EPERM without CAP_SYS_ADMIN.
    init() throws(SystemError) {
        network = try Namespace.makeNetwork()
        isOurs = true
    }

    /// Creates a reference to the namespace of a process.
    ///
    /// - Parameter process: The process ID.
    /// - Throws: `SystemError` with ENOENT if the process does not exist.
    init(of process: Int32) throws(SystemError) {
        network = try Namespace.network(of: process)
        isOurs = false
        self.process = process
    }

    /// Starts an init in new process and mount namespaces.
    ///
    /// The process started here waits for init, which is its only child.
    ///
    /// - Parameters:
    ///   - program: The program of init; one word.
    ///   - environment: `NAME=value`.
    ///   - loop: Waits for the end.
    ///   - ended: Called when it has ended.
    /// - Returns: The ID of the process that waits for init.
    /// - Throws: `SystemError` if it cannot be started.
    func startInit(
        _ program: String,
        environment: [String],
        on loop: EventLoop,
        ended: @escaping (ProcessEnd) -> Void
    ) throws(SystemError) -> Int32 {
        var command = ChildProcess.Command(path: Self.nsenter)
        command.arguments = Self.arguments(
            process: ProcessEnvironment.process,
            descriptor: network.number,
            program: program
        )
        command.environment = environment
        command.readsNothing = true
        let process = try ChildProcess(command, on: loop) { [weak self] end, _ in
            self?.initProcess = nil
            ended(end)
        }
        initProcess = process
        self.process = process.process
        return process.process
    }

    /// The arguments of `nsenter`, in a form that busybox and util-linux both accept.
    static func arguments(process: Int32, descriptor: Int32, program: String) -> [String] {
        [
            "-n/proc/\(process)/fd/\(descriptor)", "-F", unshare, "--pid", "--mount-proc", "--fork",
            "--propagation", "slave", program,
        ]
    }

    /// Removes a TAP interface that another implementation's `vm-switch` left, and kills the
    /// processes that hold its descriptor.
    ///
    /// Such a process would serve a later interface of the same name.
    ///
    /// - Parameter name: The interface's name. An interface of another kind belongs to someone else
    ///   and stays.
    /// - Returns: Whether the TAP interface existed.
    /// - Throws: `SystemError`.
    func removeTAP(_ name: String) throws(SystemError) -> Bool {
        try Namespace.within(network) { () throws(SystemError) in
            var netlink = try Netlink()
            do throws(SystemError) {
                let link = try netlink.link(named: name)
                guard link.isTUN else { return false }
                _ = residents.kill(in: network) { TAPHolder.holds($0, interface: name) }
                try netlink.deleteLink(link.index)
                return true
            } catch {
                // The kernel removes it when the last process that holds it has ended.
                if error.isMissingDevice { return false }
                throw error
            }
        }
    }

    /// Kills all processes in a namespace created here; call it repeatedly until it returns true.
    ///
    /// - Returns: Whether no process is left and init was waited for.
    func clear() -> Bool {
        guard isOurs else { return true }
        return residents.kill(in: network) == 0 && initProcess == nil
    }
}
