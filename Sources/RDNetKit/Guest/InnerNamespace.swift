/// The network namespace of the containers and of `vm-switch`: one of our own with an init in it,
/// or a systemd service's.
///
/// What is in one of our own ends with it: init, and all that it has started.
final class InnerNamespace {
    static let nsenter = "/usr/bin/nsenter"
    static let unshare = "/usr/bin/unshare"

    let network: OwnedDescriptor
    private let isOurs: Bool
    /// A process in the mount namespace of those that live here; nil before there is one.
    private(set) var process: Int32?
    private let residents = NamespaceResidents()
    private var initProcess: ChildProcess?

    /// Makes a fresh one.
    ///
    /// - Throws: `SystemError` with EPERM without CAP_SYS_ADMIN.
    init() throws(SystemError) {
        network = try Namespace.makeNetwork()
        isOurs = true
    }

    /// Takes the one that a process is in.
    ///
    /// - Parameter process: The process's number.
    /// - Throws: `SystemError` with ENOENT when there is no such process.
    init(of process: Int32) throws(SystemError) {
        network = try Namespace.network(of: process)
        isOurs = false
        self.process = process
    }

    /// Starts an init in fresh process and mount namespaces as well.
    ///
    /// The process that is started here waits for init: init is its only child.
    ///
    /// - Parameters:
    ///   - program: What becomes init; one word.
    ///   - environment: `NAME=value`.
    ///   - loop: Waits for the end.
    ///   - ended: Told when it has ended.
    /// - Returns: The number of the process that waits for init.
    /// - Throws: `SystemError` when it cannot be started.
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

    /// The arguments of `nsenter`, which busybox and util-linux both take.
    static func arguments(process: Int32, descriptor: Int32, program: String) -> [String] {
        [
            "-n/proc/\(process)/fd/\(descriptor)", "-F", unshare, "--pid", "--mount-proc", "--fork",
            "--propagation", "slave", program,
        ]
    }

    /// Removes a TAP interface that another's `vm-switch` left, and the processes that hold its
    /// descriptor.
    ///
    /// Such a process would serve an interface of the same name that is made later.
    ///
    /// - Parameter name: Of the interface. One of another kind, which somebody else made, stays.
    /// - Returns: Whether there was one.
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
                // It goes by itself when the last process that holds it has ended.
                if error.isMissingDevice { return false }
                throw error
            }
        }
    }

    /// Kills all that lives in a namespace of our own; to be called until it says that nothing
    /// does.
    ///
    /// - Returns: Whether nothing lives there any more, and init was waited for.
    func clear() -> Bool {
        guard isOurs else { return true }
        return residents.kill(in: network) == 0 && initProcess == nil
    }
}
