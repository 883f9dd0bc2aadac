/// The file in which a guest's programs find their name servers: when it may be written, and how.
///
/// How it works: there are two ways. `up` and `network-setup` create a mount namespace for the
/// guest. There, a file in memory is mounted over the name (`MountedFile`), and no file of the
/// machine is written. Replacing the machine's file detaches the mount; then it is mounted again.
///
/// In any other case the file itself is written, if it provably belongs to the guest: the user
/// chose it; or the network namespace is that of process 1, as in a virtual machine, a WSL
/// distribution or a container; or the file is a mount point that process 1 does not see, such as
/// that of `ip netns exec`. From then on only this exact file is written (`ClaimedFile`). An
/// unchanged text is not written. At the end, the previous content is restored.
final class ResolverFile {
    enum Place {
        /// The file at this path, chosen by the user.
        case chosen(String)
        /// The file at the usual path, if it belongs to this network namespace.
        case standard
        /// A file mounted over the usual path, in the mount namespace of a process; nil for this
        /// one.
        case mounted(process: Int32?)
    }

    /// The path that programs read; see resolv.conf(5).
    static let path = "/etc/resolv.conf"
    /// The environment variable that names a process in the mount namespace of the guest's
    /// programs.
    static let processVariable = "RDNET_NAMESPACE_PROCESS"
    /// Time limit for a process to create its mount namespace, and the polling interval.
    private static let patience: Duration = .seconds(10)
    private static let interval: Duration = .milliseconds(20)

    /// Called if the name to mount a file over does not exist.
    ///
    /// Programs query 127.0.0.1 then; see resolv.conf(5).
    var nameIsMissing: (() -> Void)?

    private let place: Place
    /// Whether this network namespace is known to be that of process 1.
    let isHome = ResolverFile.isHome
    private let loop: EventLoop
    private let log: Logger
    private var text = ""
    private var claimed: ClaimedFile?
    private var mounted: MountedFile?
    private var watch: DirectoryWatch?
    /// When to stop waiting for the process's mount namespace.
    private var deadline: Instant?
    private var lastComplaint = ""

    /// Creates a resolver file and finds the current file; writes nothing yet.
    ///
    /// - Parameters:
    ///   - place: The location of the file.
    ///   - loop: Waits for replacements of the machine's file.
    ///   - log: For every write, and for the reason if the file is not written.
    init(_ place: Place, loop: EventLoop, log: Logger) {
        self.place = place
        self.loop = loop
        self.log = log
        // A mount may be detached before the first lease; then the path leads to the machine's
        // file.
        switch place {
        case .chosen(let path): claimed = existing(path)
        case .standard:
            guard !isHome else { return }
            let found = existing(Self.path)
            if Self.objection(to: found, isHome: false) == nil { claimed = found }
        case .mounted: break
        }
    }

    /// Why a DHCP script should not write the usual file; nil if it may.
    static var objectionToScript: String? {
        do {
            return objection(to: try ClaimedFile(existing: path), isHome: isHome)
        } catch {
            return objection(to: nil, isHome: isHome)
        }
    }

    /// Applies a lease's name servers.
    func update(_ lease: DHCPLease) {
        guard !lease.nameServers.isEmpty else { return }
        text = lease.resolverText
        write()
    }

    /// Restores the previous content.
    func restore() {
        watch?.close()
        watch = nil
        attempt { () throws(SystemError) in try mounted?.remove() }
        attempt { () throws(SystemError) in
            guard let claimed, try claimed.restore() else { return }
            log.info("resolver file restored", ["path": claimed.path])
        }
    }

    private func write() {
        attempt { () throws(SystemError) in
            switch place {
            case .chosen(let path):
                if claimed == nil { claimed = try existingOrNew(path) }
            case .standard:
                if claimed == nil { claimed = try permitted() }
            case .mounted(let process): return try mount(process)
            }
            if let claimed { try write(to: claimed) }
        }
    }

    /// Logs, once per reason, why the file is not written.
    private func complain(_ path: String, _ reason: String) {
        guard reason != lastComplaint else { return }
        lastComplaint = reason
        log.warning("resolver file not written", ["path": path, "reason": reason])
    }

    private func attempt(_ step: () throws(SystemError) -> Void) {
        do throws(SystemError) {
            try step()
        } catch {
            log.error("resolver file: \(error)")
        }
    }

    // MARK: The machine's file

    private func existing(_ path: String) -> ClaimedFile? {
        do throws(SystemError) {
            return try ClaimedFile(existing: path)
        } catch {
            if !TextFile.isAbsence(error) { log.error("resolver file: \(error)") }
            return nil
        }
    }

    /// The usual file, created if it does not exist; nil if it does not belong to this guest.
    private func permitted() throws(SystemError) -> ClaimedFile? {
        if let objection = Self.objection(to: existing(Self.path), isHome: isHome) {
            complain(Self.path, objection)
            return nil
        }
        return try existingOrNew(Self.path)
    }

    private func existingOrNew(_ path: String) throws(SystemError) -> ClaimedFile {
        if let file = existing(path) { return file }
        return try ClaimedFile(making: path)
    }

    private static var isHome: Bool { Namespace.isShared("net", with: 1) == true }

    /// Why the usual file does not belong to this guest; nil if it does.
    private static func objection(to file: ClaimedFile?, isHome: Bool) -> String? {
        if isHome { return nil }
        guard let file, file.isMountPoint else {
            return "not in the network namespace of process 1, and the file is not a mount point"
        }
        return file.isSeen(by: 1)
            ? "not in the network namespace of process 1, which uses the same file" : nil
    }

    private func write(to file: ClaimedFile) throws(SystemError) {
        switch try file.write(text) {
        case .written: log.info("resolver file written", ["path": file.path])
        case .unchanged: break
        case .replaced: complain(file.path, "the path now leads to another file")
        }
    }

    // MARK: A file in memory

    private func mount(_ process: Int32?) throws(SystemError) {
        if mounted == nil {
            if let process, !isReady(process) { return mountLater() }
            do throws(SystemError) {
                mounted = try MountedFile(over: Self.path, of: process)
            } catch {
                guard TextFile.isAbsence(error) else { throw error }
                return missName()
            }
            attempt { () throws(SystemError) in try watchDirectory() }
        }
        guard let mounted else { return }
        guard mounted.isInPlace else { return try place(mounted) }
        guard try mounted.write(text) else { return }
        log.info("resolver file written", ["path": mounted.path])
    }

    private func place(_ file: MountedFile) throws(SystemError) {
        do throws(SystemError) {
            try file.place(text)
        } catch {
            guard TextFile.isAbsence(error) else { throw error }
            guard case .mounted(.some) = place, claimed == nil else { return missName() }
            // To programs, an empty file is the same as no file, and it can be mounted over.
            claimed = try ClaimedFile(making: Self.path)
            log.info("empty resolver file created", ["path": Self.path])
            try file.place(text)
        }
        log.info("resolver file mounted", ["path": file.path])
    }

    private func watchDirectory() throws(SystemError) {
        guard let mounted else { return }
        watch = try DirectoryWatch(mounted.directoryPath, loop: loop) { [unowned self] in
            guard !mounted.isInPlace else { return }
            attempt { () throws(SystemError) in try place(mounted) }
        }
    }

    private func missName() {
        guard let nameIsMissing else {
            return complain(Self.path, "there is no file to mount another over")
        }
        log.info("no resolver file; serving DNS on 127.0.0.1", ["path": Self.path])
        nameIsMissing()
    }

    /// Whether a process already has its own mount namespace, and shares this network namespace.
    private func isReady(_ process: Int32) -> Bool {
        Namespace.isShared("net", with: process) == true
            && Namespace.isShared("mnt", with: process) == false
    }

    private func mountLater() {
        let end = deadline ?? loop.now + Self.patience
        deadline = end
        guard loop.now < end else {
            return complain(Self.path, "the process has no mount namespace of its own")
        }
        loop.after(Self.interval) { [weak self] _ in self?.write() }
    }
}
