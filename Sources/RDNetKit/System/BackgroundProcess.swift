internal import CLinux
internal import Glibc

/// The rest of this program in a child process, whose parent ends once the child is ready.
///
/// See daemon(3).
struct BackgroundProcess: ~Copyable {
    /// Connected to the parent.
    private let parent: OwnedDescriptor

    /// Continues in a child process with a session of its own; in the parent, it never returns.
    ///
    /// The parent waits. It ends with status 0 when the child is ready, or with the child's status
    /// if the child ends before that. The child keeps no inherited descriptors but the standard
    /// streams. Sound because this process has one thread. See setsid(2).
    ///
    /// - Throws: `SystemError` if no process can be made.
    init() throws(SystemError) {
        let pair = try Socket.pair()
        let child = try systemCall("fork") { clinux_fork() }
        if child == 0 {
            setsid()
            OwnedDescriptor.closeInherited()
            parent = pair.other
        } else {
            Self.wait(for: child, pair.one, closing: pair.other)
        }
    }

    private static func wait(
        for child: Int32,
        _ control: consuming OwnedDescriptor,
        closing other: consuming OwnedDescriptor
    ) -> Never {
        // Otherwise this process would not notice the end of the child.
        close(other.release())
        var request = pollfd(fd: control.number, events: Int16(POLLIN), revents: 0)
        while poll(&request, 1, -1) == -1, errno == EINTR {}
        var octet: UInt8 = 0
        if read(control.number, &octet, 1) == 1 { _exit(0) }
        var status: Int32 = 0
        while waitpid(child, &status, 0) == -1, errno == EINTR {}
        _exit(ProcessEnd(waitStatus: status).shellStatus)
    }

    /// Ends the parent, and closes the standard streams, for which a caller of the parent may wait.
    consuming func detach() {
        StandardStream.discardAll()
        // The parent may have been killed.
        do { _ = try Socket.send(parent, [1]) } catch { return }
    }
}
