/// What the operands and options of `pasta` name.
struct PastaTarget {
    /// The namespace to enter; nil for a new one, in which a command runs.
    var existing: (userNamespace: String?, network: String)?
    /// The command; empty for an existing namespace.
    var command: [String] = []
    /// The process with whose end the namespace ends; nil for another namespace.
    var process: Int32?
    /// The file with whose end the namespace ends; nil for that of a process.
    var file: String?

    /// Interprets the operands.
    ///
    /// - Parameters:
    ///   - settings: The options.
    ///   - operands: The words after them.
    ///   - shell: The command if there are no words.
    /// - Throws: `RoleFailure` with status 2.
    init(_ settings: PastaSettings, _ operands: [String], shell: String) throws(RoleFailure) {
        let process = operands.count == 1 ? operands[0].decimal(upTo: UInt64(Int32.max)) : nil
        let user = settings.userNamespace
        if !settings.networkNamespace.isEmpty {
            guard operands.isEmpty else {
                throw RoleFailure(
                    "\(operands[0]): expected no PID and no command with --netns",
                    status: .misuse
                )
            }
            let name = settings.networkNamespace
            let path = name.contains("/") ? name : "/run/netns/\(name)"
            existing = (user.isEmpty ? nil : user, path)
            self.process = Self.process(of: path)
            if self.process == nil { file = path }
        } else if let process, process > 0 {
            let number = Int32(truncatingIfNeeded: process)
            let own = settings.joinsNetworkOnly ? nil : "/proc/\(number)/ns/user"
            existing = (user.isEmpty ? own : user, "/proc/\(number)/ns/net")
            self.process = number
        } else {
            guard user.isEmpty, !settings.joinsNetworkOnly else {
                throw RoleFailure(
                    "--userns and --netns-only need a PID or --netns",
                    status: .misuse
                )
            }
            command = operands.isEmpty ? [shell] : operands
        }
        if settings.survivesNamespace { (self.process, file) = (nil, nil) }
    }

    /// The process of `/proc/PID/ns/net`; nil for another path.
    private static func process(of path: String) -> Int32? {
        let parts = path.split(separator: "/")
        guard parts.count == 4, parts[0] == "proc", parts[2] == "ns" else { return nil }
        return parts[1].decimal(upTo: UInt64(Int32.max)).map { Int32(truncatingIfNeeded: $0) }
    }
}
