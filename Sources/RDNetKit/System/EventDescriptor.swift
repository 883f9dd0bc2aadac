internal import CLinux
internal import Glibc

/// An eventfd(2) that another program created: its counter notifies one side of the other's work.
///
/// The counter is never read: `EventLoop` watches it by `Readiness.onChange`, which reports each
/// write. So nothing can block here if the other program reads the counter first. A write blocks
/// only at a counter of 2^64 - 1, if the other program fills it and takes O_NONBLOCK away again,
/// which only the guest's hypervisor could do.
struct EventDescriptor: ~Copyable {
    private let descriptor: OwnedDescriptor

    /// Takes over a received descriptor.
    ///
    /// - Parameter descriptor: Any descriptor.
    /// - Throws: `SystemError`: EINVAL for a file, pipe, socket or device.
    init(checking descriptor: consuming OwnedDescriptor) throws(SystemError) {
        let number = descriptor.number
        var status = stat()
        try systemCall("fstat") { fstat(number, &status) }
        // Anonymous inodes, of which an eventfd is one, have no type.
        guard status.st_mode & S_IFMT == 0 else { throw .invalid("eventfd") }
        let mode = try systemCall("fcntl(F_GETFL)") { fcntl(number, F_GETFL) }
        try systemCall("fcntl(F_SETFL)") { fcntl(number, F_SETFL, mode | O_NONBLOCK) }
        self.descriptor = descriptor
    }

    /// The descriptor's number, valid while this value lives.
    var number: Int32 { descriptor.number }

    /// Adds one to the counter; does nothing if it is at its limit, because a report then waits.
    func signal() {
        var one: UInt64 = 1
        _ = write(descriptor.number, &one, MemoryLayout<UInt64>.size)
    }
}
