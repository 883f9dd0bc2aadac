internal import CLinux
internal import Glibc

/// The process that connected to a unix socket.
///
/// A descriptor refers to the process, so a later process that reuses its number is never mistaken
/// for it. See unix(7), SO_PEERCRED, SO_PEERPIDFD; pidfd_open(2).
final class PeerProcess: ReadinessObserver {
    /// The process ID in this program's PID namespace.
    let number: Int32
    /// The path of the program's file, in the process's mount namespace; nil when unknown.
    let program: String?
    private let descriptor: OwnedDescriptor
    private var loop: EventLoop?
    private var watch: EventLoop.Watch?
    private var ended: () -> Void = {}

    /// Creates a reference to the process at the other end of a connection.
    ///
    /// Fails when the process has ended or is in a PID namespace that this program cannot see.
    ///
    /// - Parameter socket: A connected unix socket.
    convenience init?(of socket: borrowing OwnedDescriptor) {
        guard let credentials = Self.credentials(of: socket), credentials.pid > 0 else {
            return nil
        }
        var number: Int32 = -1
        var length = socklen_t(MemoryLayout<Int32>.size)
        // Kernels before 6.5 have no SO_PEERPIDFD, so the process ID must do.
        let option = Int32(CLINUX_SO_PEERPIDFD)
        if getsockopt(socket.number, SOL_SOCKET, option, &number, &length) != 0 {
            number = pidfd_open(credentials.pid, 0)
        }
        guard number >= 0 else { return nil }
        self.init(credentials.pid, OwnedDescriptor(adopting: number))
    }

    /// The user at the other end of a unix connection; nil if the kernel does not report it.
    ///
    /// On the client's side, it is the user who started to listen. See unix(7), SO_PEERCRED.
    static func user(of socket: borrowing OwnedDescriptor) -> UInt32? {
        credentials(of: socket)?.uid
    }

    private static func credentials(of socket: borrowing OwnedDescriptor) -> clinux_ucred? {
        var credentials = clinux_ucred()
        var length = socklen_t(MemoryLayout<clinux_ucred>.size)
        // Sound: the pointers are used only during the call, and the length bounds the write.
        let code = getsockopt(socket.number, SOL_SOCKET, SO_PEERCRED, &credentials, &length)
        return code == 0 ? credentials : nil
    }

    /// Creates a reference to a running process; fails when no process has that ID.
    convenience init?(running process: Int32) {
        let number = pidfd_open(process, 0)
        guard number >= 0 else { return nil }
        self.init(process, OwnedDescriptor(adopting: number))
    }

    private init(_ process: Int32, _ descriptor: consuming OwnedDescriptor) {
        number = process
        program = ProcessEnvironment.program(of: process)
        self.descriptor = descriptor
    }

    deinit { forgetWatch() }

    /// Whether the process has ended, reaped or not.
    var hasEnded: Bool {
        var request = pollfd(fd: descriptor.number, events: Int16(POLLIN), revents: 0)
        return poll(&request, 1, 0) == 1
    }

    /// Watches for the end of the process.
    ///
    /// - Parameters:
    ///   - loop: The loop that watches.
    ///   - ended: Called once, when the process has ended.
    /// - Throws: `SystemError`.
    func watchEnd(on loop: EventLoop, ended: @escaping () -> Void) throws(SystemError) {
        self.loop = loop
        self.ended = ended
        watch = try loop.watch(descriptor.number, for: .readable, observer: self)
    }

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        forgetWatch()
        let ended = self.ended
        self.ended = {}
        ended()
    }

    private func forgetWatch() {
        if let watch { loop?.forget(watch) }
        watch = nil
    }
}
