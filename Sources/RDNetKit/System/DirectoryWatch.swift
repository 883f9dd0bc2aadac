internal import CLinux
internal import Glibc

/// Reports when a name in a directory appears, disappears or leads to another file.
///
/// It sees changes made in other mount namespaces too.
///
/// See inotify(7).
final class DirectoryWatch: ReadinessObserver {
    private static let events = UInt32(IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO)

    private let descriptor: OwnedDescriptor
    private let loop: EventLoop
    private let changed: () -> Void
    private var watch: EventLoop.Watch?

    /// Starts to watch a directory.
    ///
    /// - Parameters:
    ///   - path: The directory.
    ///   - loop: The loop that waits for changes.
    ///   - changed: Called once for any number of simultaneous changes.
    /// - Throws: `SystemError`: ENOENT, EMFILE at the user's limit on inotify instances, ENOSPC at
    ///   the limit on watches.
    init(
        _ path: String,
        loop: EventLoop,
        changed: @escaping () -> Void
    ) throws(SystemError) {
        descriptor = OwnedDescriptor(
            adopting: try systemCall("inotify_init1") {
                inotify_init1(Int32(IN_NONBLOCK | IN_CLOEXEC))
            }
        )
        self.loop = loop
        self.changed = changed
        let number = descriptor.number
        try systemCall("watch \(path)") { inotify_add_watch(number, path, Self.events) }
        watch = try loop.watch(number, for: .readable, observer: self)
    }

    /// Stops watching and releases this object from the loop.
    func close() {
        if let watch { loop.forget(watch) }
        watch = nil
    }

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        var buffer = [UInt8](repeating: 0, count: 16_384)
        // Events that do not fit keep the descriptor ready.
        guard read(descriptor.number, &buffer, buffer.count) > 0 else { return }
        changed()
    }
}
