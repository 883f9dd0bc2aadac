internal import CLinux
internal import Glibc

/// The files that a process may still open: a Landlock rule set.
///
/// Everything else is refused with EACCES, whatever its permissions. A rule is about a file or a
/// folder that exists, not a path. See landlock(7), linux/landlock.h.
struct Landlock {
    /// A file or folder, and what may be done there.
    enum Rule: Hashable {
        /// Read and write one existing file, such as /dev/null.
        case file(String)
        /// Read, write and control one existing device, such as /dev/net/tun.
        case device(String)
        /// Read everything below a folder.
        case reading(String)
        /// Create, write, replace and remove files, sockets and symbolic links in a folder.
        case folder(String)

        /// The folder that a file is in.
        static func folder(of path: String) -> Rule {
            .folder(path.lastIndex(of: "/").map { String(path[...$0]) } ?? ".")
        }
    }

    /// The kernel's rights, by their bits.
    ///
    /// See linux/landlock.h.
    private enum Right {
        static let writeFile: UInt64 = 1 << 1
        static let readFile: UInt64 = 1 << 2
        static let readFolder: UInt64 = 1 << 3
        static let removeFile: UInt64 = 1 << 5
        static let makeFile: UInt64 = 1 << 8
        static let makeSocket: UInt64 = 1 << 9
        static let makeLink: UInt64 = 1 << 12
        static let truncate: UInt64 = 1 << 14
        static let controlDevice: UInt64 = 1 << 15

        static let inFolder =
            writeFile | readFile | readFolder | removeFile | makeFile | makeSocket | makeLink
            | truncate
        static let onFile = writeFile | readFile | truncate
    }

    /// Signals to, and abstract sockets of, processes outside; Landlock's version 6.
    private enum Scope {
        static let abstractSockets: UInt64 = 1 << 0
        static let signals: UInt64 = 1 << 1
    }

    /// The kernel's `struct landlock_ruleset_attr`; an older kernel reads a shorter one.
    private struct Attributes {
        var files: UInt64
        var network: UInt64 = 0
        var scopes: UInt64 = 0
    }

    private static let createRuleset = 444
    private static let addRule = 445
    private static let restrictSelf = 446
    private static let beneath = 1

    var rules: Set<Rule>
    /// Whether the process may signal processes that are not its own children after this.
    var maySignal = false

    /// The kernel's version of Landlock; 0 without it.
    static var version: Int {
        max(clinux_syscall(createRuleset, 0, 0, 1, 0), 0)
    }

    /// The rights that a version of Landlock knows.
    private static func known(_ version: Int) -> UInt64 {
        switch version {
        case 1: 1 << 13 - 1
        case 2: 1 << 14 - 1
        case 3, 4: 1 << 15 - 1
        default: 1 << 16 - 1
        }
    }

    /// Enforces the rules for this thread and its children, for good.
    ///
    /// The process must have no new privileges before.
    ///
    /// - Returns: Whether the kernel has Landlock.
    /// - Throws: `SystemError`.
    func enforce() throws(SystemError) -> Bool {
        let version = Self.version
        guard version > 0 else { return false }
        let known = Self.known(version)
        var attributes = Attributes(files: known)
        if version >= 6 {
            attributes.scopes = Scope.abstractSockets | (maySignal ? 0 : Scope.signals)
        }
        let size = version >= 6 ? 24 : version >= 4 ? 16 : 8
        let number = withUnsafePointer(to: &attributes) {
            clinux_syscall(Self.createRuleset, Int(bitPattern: $0), size, 0, 0)
        }
        guard number >= 0 else {
            throw SystemError(call: "landlock_create_ruleset", errno: errno)
        }
        let ruleset = OwnedDescriptor(adopting: Int32(number))
        for rule in rules {
            switch rule {
            case .file(let path): try allow(path, Right.onFile & known, in: ruleset)
            case .device(let path):
                try allow(path, (Right.onFile | Right.controlDevice) & known, in: ruleset)
            case .reading(let path):
                try allow(path, (Right.readFile | Right.readFolder) & known, in: ruleset)
            case .folder(let path): try allow(path, Right.inFolder & known, in: ruleset)
            }
        }
        guard clinux_syscall(Self.restrictSelf, number, 0, 0, 0) == 0 else {
            throw SystemError(call: "landlock_restrict_self", errno: errno)
        }
        return true
    }

    /// Adds a rule; a file or folder that does not exist needs none.
    private func allow(
        _ path: String,
        _ rights: UInt64,
        in ruleset: borrowing OwnedDescriptor
    ) throws(SystemError) {
        let opened = open(path, Int32(CLINUX_O_PATH) | O_CLOEXEC)
        guard opened >= 0 else { return }
        defer { close(opened) }
        // struct landlock_path_beneath_attr is packed: 64 bits of rights, then a descriptor.
        var octets = [UInt8](repeating: 0, count: 12)
        let number = ruleset.number
        let result = octets.withUnsafeMutableBytes { bytes in
            bytes.storeBytes(of: rights, as: UInt64.self)
            bytes.storeBytes(of: opened, toByteOffset: 8, as: Int32.self)
            return clinux_syscall(
                Self.addRule,
                Int(number),
                Self.beneath,
                Int(bitPattern: bytes.baseAddress),
                0
            )
        }
        guard result == 0 else {
            throw SystemError(call: "landlock_add_rule \(path)", errno: errno)
        }
    }
}
