internal import CLinux
internal import Glibc

/// Survives the end of a file that is mapped: a front end can cut its guest's memory at any time.
///
/// An access beyond a file's end raises SIGBUS. The handler puts empty memory in place of the whole
/// mapping and returns, so the access succeeds and reads zeros. Whoever uses the mapping then finds
/// out by `isLost` and closes the link. Any other SIGBUS ends the process as always. The handler
/// runs in the thread that made the access, which is the only one, so it never sees the table half
/// changed.
enum LostMemory {
    static let maximumCount = 1024

    private struct Entry {
        var start: UInt = 0
        var count = 0
        var isLost = false
    }

    nonisolated(unsafe) private static var entries: UnsafeMutablePointer<Entry>?
    /// Whether any mapping was ever lost.
    nonisolated(unsafe) private(set) static var hasLosses = false

    /// Watches a mapping.
    ///
    /// - Returns: Whether there was room for it.
    static func watch(_ mapping: UnsafeMutableRawBufferPointer) -> Bool {
        let entries = entries ?? install()
        for index in 0..<maximumCount where entries[index].count == 0 {
            let start = UInt(bitPattern: mapping.baseAddress)
            entries[index] = Entry(start: start, count: mapping.count)
            return true
        }
        return false
    }

    /// Forgets a mapping before its memory is unmapped.
    static func forget(_ mapping: UnsafeMutableRawBufferPointer) {
        if let entry = entry(of: UInt(bitPattern: mapping.baseAddress)) { entry.pointee = Entry() }
    }

    /// Whether a mapping has lost its file.
    static func isLost(_ mapping: UnsafeMutableRawBufferPointer) -> Bool {
        entry(of: UInt(bitPattern: mapping.baseAddress))?.pointee.isLost == true
    }

    private static func entry(of address: UInt) -> UnsafeMutablePointer<Entry>? {
        guard let entries else { return nil }
        for index in 0..<maximumCount where address &- entries[index].start < entries[index].count {
            return entries + index
        }
        return nil
    }

    private static func install() -> UnsafeMutablePointer<Entry> {
        let table = UnsafeMutablePointer<Entry>.allocate(capacity: maximumCount)
        table.initialize(repeating: Entry(), count: maximumCount)
        entries = table
        var action = sigaction()
        action.__sigaction_handler.sa_sigaction = { _, info, _ in
            LostMemory.handle(UnsafeRawPointer(info))
        }
        action.sa_flags = SA_SIGINFO
        // Cannot fail: the signal exists and the pointer is valid.
        sigaction(SIGBUS, &action, nil)
        return table
    }

    /// Runs in the signal handler; mmap(2) and signal(2) are safe there.
    private static func handle(_ info: UnsafeRawPointer?) {
        // Sound: the kernel passes a siginfo_t, in which si_addr follows 16 bytes.
        guard let address = info?.load(fromByteOffset: 16, as: UInt.self),
            let entry = entry(of: address)
        else { return end() }
        let start = UnsafeMutableRawPointer(bitPattern: entry.pointee.start)
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE
        let memory = mmap(start, entry.pointee.count, PROT_READ | PROT_WRITE, flags, -1, 0)
        guard memory != MAP_FAILED else { return end() }
        entry.pointee.isLost = true
        hasLosses = true
    }

    /// Lets the access that is repeated after the handler end the process.
    private static func end() {
        _ = signal(SIGBUS, SIG_DFL)
    }
}
