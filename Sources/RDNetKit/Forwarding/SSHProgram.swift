/// The system's `ssh`: its path, and the environment that it gets.
struct SSHProgram {
    /// Limit on a directory's path, so that the path of a socket in it fits (unix(7)).
    private static let maximumFolderLength = 80

    /// PATH; nil for the system's default.
    let searchPath: String?
    /// `NAME=value` entries without secrets: a guest can read them by choosing a path with a
    /// variable in it.
    let environment: [String]
    /// Parent directories for private directories, the best one first.
    let folders: [String]

    /// Creates a description from an environment.
    ///
    /// - Parameter value: Returns a variable's value; nil if it is not set.
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

    /// The program's path; nil if it is not found.
    var path: String? { ProgramPath.find("ssh", in: searchPath) }
}
