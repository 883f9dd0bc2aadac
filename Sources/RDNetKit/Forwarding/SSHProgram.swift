/// The system's `ssh`: where it is found, and what it is given.
struct SSHProgram {
    /// The longest folder in which a socket's name is still short enough (unix(7)).
    private static let maximumFolderLength = 80

    /// PATH; nil for the system's default.
    let searchPath: String?
    /// `NAME=value`: nothing that a guest which chooses a path with a variable in it should not
    /// read.
    let environment: [String]
    /// Where private directories are made, the best folder first.
    let folders: [String]

    /// Takes what it needs from an environment.
    ///
    /// - Parameter value: A variable's; nil when it is not set.
    init(_ value: (String) -> String?) {
        searchPath = value("PATH")
        environment = ["HOME", "PATH", "USER"].compactMap { name in
            value(name).map { "\(name)=\($0)" }
        }
        let chosen = ["XDG_RUNTIME_DIR", "TMPDIR"].compactMap { value($0) }.filter {
            $0.hasPrefix("/") && $0.utf8.count <= Self.maximumFolderLength
                && !$0.utf8.contains { ":\\%$".utf8.contains($0) }
        }
        folders = chosen + ["/tmp"]
    }

    /// Its path; nil when there is none.
    var path: String? { ProgramPath.find("ssh", in: searchPath) }
}
