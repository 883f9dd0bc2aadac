internal import CLinux
internal import Glibc

/// A privilege of root that a process can have by itself.
///
/// See capabilities(7).
enum Capability: Int {
    case chown = 0
    /// Read, write and enter files and folders of other users.
    case dacOverride = 1
    case dacReadSearch = 2
    /// Change the mode of files of other users.
    case fowner = 3
    /// Signal processes of other users.
    case kill = 5
    case setGID = 6
    case setUID = 7
    /// Reduce the bounding set.
    case setPCAP = 8
    case linuxImmutable = 9
    /// Bind to ports below 1024.
    case netBindService = 10
    /// Configure interfaces, addresses and routes, and create TAPs.
    case netAdmin = 12
    /// Open packet sockets and raw sockets.
    case netRaw = 13
    /// Enter another process's mount namespace, together with `sysAdmin`.
    case sysChroot = 18
    /// Look into the namespaces of a process that has other capabilities.
    case sysPtrace = 19
    /// Create and enter namespaces, and mount.
    case sysAdmin = 21
}

/// The privileges of this process.
enum Privileges {
    /// The last capability that some kernel may know; the kernel says where its own end.
    private static let last = 63

    /// Reduces every capability set, and the bounding set, to some of the current capabilities.
    ///
    /// - Parameters:
    ///   - kept: The capabilities to keep where the process has them.
    ///   - bounding: Those that a program run from now on could gain; nil for the same.
    /// - Throws: `SystemError`.
    static func reduce(
        to kept: Set<Capability>,
        bounding: Set<Capability>? = nil
    ) throws(SystemError) {
        let numbers = Set(kept.map(\.rawValue))
        let bounds = Set((bounding ?? kept).map(\.rawValue))
        for number in 0...last where !bounds.contains(number) {
            // EINVAL past the kernel's last capability, EPERM without CAP_SETPCAP: then the process
            // has no capabilities that it could pass on.
            if clinux_prctl(PR_CAPBSET_DROP, UInt(number), 0, 0, 0) != 0, errno == EINVAL { break }
        }
        _ = clinux_prctl(PR_CAP_AMBIENT, UInt(PR_CAP_AMBIENT_CLEAR_ALL), 0, 0, 0)
        var sets = try current()
        let mask = numbers.reduce(UInt64(0)) { $0 | 1 << UInt64($1) }
        for (index, part) in [UInt32(truncatingIfNeeded: mask), UInt32(mask >> 32)].enumerated() {
            sets[index].permitted &= part
            sets[index].effective = sets[index].permitted
            sets[index].inheritable = 0
        }
        var header = __user_cap_header_struct(version: version, pid: 0)
        let result = clinux_syscall(
            Int(SYS_capset),
            withUnsafeMutablePointer(to: &header) { Int(bitPattern: $0) },
            sets.withUnsafeMutableBufferPointer { Int(bitPattern: $0.baseAddress) },
            0,
            0
        )
        guard result == 0 else { throw SystemError(call: "capset", errno: errno) }
    }

    /// Whether the process has a capability.
    ///
    /// - Throws: `SystemError`.
    static func has(_ capability: Capability) throws(SystemError) -> Bool {
        let (word, bit) = (capability.rawValue / 32, capability.rawValue % 32)
        return try current()[word].effective & 1 << UInt32(bit) != 0
    }

    /// Becomes another user for good: real, effective and saved IDs, no other groups.
    ///
    /// It needs the capabilities `setGID` and `setUID`, and then has none. See setresuid(2).
    static func become(_ user: AccountFile.User) throws(SystemError) {
        try systemCall("setgroups") { setgroups(0, nil) }
        try systemCall("setresgid \(user.group)") {
            setresgid(user.group, user.group, user.group)
        }
        try systemCall("setresuid \(user.user)") { setresuid(user.user, user.user, user.user) }
    }

    /// Adds groups to those of this process, if it is privileged to do so.
    ///
    /// The owner of a file may give it to a group that he is in, without any capability. See
    /// setgroups(2), chown(2).
    static func join(_ groups: Set<UInt32>) {
        let count = getgroups(0, nil)
        guard !groups.isEmpty, count >= 0 else { return }
        var present = [gid_t](repeating: 0, count: Int(count))
        guard getgroups(count, &present) == count else { return }
        // Fails for an ordinary user, who may be in the groups already.
        let all = Array(groups.union(present))
        _ = setgroups(all.count, all)
    }

    /// Gives up gaining privileges by running programs.
    ///
    /// See prctl(2), PR_SET_NO_NEW_PRIVS.
    static func refuseNew() throws(SystemError) {
        try systemCall("prctl(PR_SET_NO_NEW_PRIVS)") {
            clinux_prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        }
    }

    /// Keeps the process's memory from core dumps, and from processes of the same user.
    ///
    /// See prctl(2), PR_SET_DUMPABLE, and ptrace(2).
    static func hideMemory() throws(SystemError) {
        try systemCall("prctl(PR_SET_DUMPABLE)") { clinux_prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) }
    }

    /// `_LINUX_CAPABILITY_VERSION_3`: 64 bits in two words.
    private static let version: UInt32 = 0x2008_0522

    private static func current() throws(SystemError) -> [__user_cap_data_struct] {
        var header = __user_cap_header_struct(version: version, pid: 0)
        var sets = [__user_cap_data_struct](repeating: __user_cap_data_struct(), count: 2)
        let result = sets.withUnsafeMutableBufferPointer { buffer in
            withUnsafeMutablePointer(to: &header) { header in
                clinux_syscall(
                    Int(SYS_capget),
                    Int(bitPattern: header),
                    Int(bitPattern: buffer.baseAddress),
                    0,
                    0
                )
            }
        }
        guard result == 0 else { throw SystemError(call: "capget", errno: errno) }
        return sets
    }
}
