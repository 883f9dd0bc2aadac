internal import Glibc

/// The controlling terminal of this process; a hang-up of the terminal removes it.
///
/// How it works: the kernel names the terminal in /proc/self/stat, which stays open from the start,
/// because a sandbox allows opening neither that file nor /dev/tty later. See tty(4), proc(5).
struct ControllingTerminal: ~Copyable {
    /// Nil without /proc.
    private let status: OwnedDescriptor?

    init() {
        let number = open("/proc/self/stat", O_RDONLY | O_CLOEXEC)
        status = number >= 0 ? OwnedDescriptor(adopting: number) : nil
    }

    /// Whether the process has one at this moment.
    var isPresent: Bool {
        switch status {
        case .some(let status):
            // The terminal is near the start of the line.
            var octets = [UInt8](repeating: 0, count: 256)
            let count = pread(status.number, &octets, octets.count, 0)
            return Self.isPresent(in: octets.prefix(max(count, 0)))
        case .none: return false
        }
    }

    /// Whether a line names a terminal: `PID (NAME) STATE PPID PGRP SESSION TTY …`.
    ///
    /// - Parameter line: The line or its start. The name may contain spaces and parentheses.
    /// - Returns: Whether it does.
    static func isPresent(in line: ArraySlice<UInt8>) -> Bool {
        guard let end = line.lastIndex(of: UInt8(ascii: ")")) else { return false }
        let fields = line[(end + 1)...].split(separator: UInt8(ascii: " "))
        return fields.count > 4 && !fields[4].elementsEqual([UInt8(ascii: "0")])
    }
}
