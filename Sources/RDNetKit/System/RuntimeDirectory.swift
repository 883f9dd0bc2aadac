internal import CLinux
internal import Glibc

/// Where running networks leave the sockets of their APIs, so that `ctl` finds them.
///
/// It is `rdnet-api` in XDG_RUNTIME_DIR, or for root in /run. It must belong to this user and be
/// writable by nobody else, and nobody else may be able to replace it; a symbolic link is not
/// followed. So no other user can lead a network's socket or a client elsewhere.
struct RuntimeDirectory {
    static let variable = "XDG_RUNTIME_DIR"
    /// Not `rdnet`, which the service of the host end owns as another user.
    private static let name = "rdnet-api"
    private static let systemFolder = "/run"
    /// How many sockets of one name there can be.
    private static let maximumNames = 8

    let path: String

    /// Finds the directory; nil if this user has none.
    ///
    /// - Parameter environment: Looks up a variable.
    init?(_ environment: (String) -> String?) {
        let chosen = environment(Self.variable).map { [$0] } ?? []
        let usual = geteuid() == 0 ? [Self.systemFolder] : []
        guard
            let folder = (chosen + usual).first(where: {
                $0.hasPrefix("/") && Self.isSafe($0)
            })
        else { return nil }
        path = (folder.hasSuffix("/") ? String(folder.dropLast()) : folder) + "/" + Self.name
    }

    /// Whether nobody else can replace this user's files in a directory.
    private static func isSafe(_ path: String) -> Bool {
        var status = stat()
        guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR,
            status.st_uid == geteuid() || status.st_uid == 0
        else { return false }
        return status.st_mode & 0o022 == 0 || status.st_mode & S_ISVTX != 0
    }

    /// Whether only this user can change what is in a directory.
    private static func isPrivate(_ path: String) -> Bool {
        var status = stat()
        return lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
            && status.st_uid == geteuid() && status.st_mode & 0o022 == 0
    }

    /// The paths of the sockets in it at which a program listens, sorted.
    var sockets: [String] {
        guard Self.isPrivate(path) else { return [] }
        return entries.filter { StaleSocket.isOccupied($0) }
    }

    private var entries: [String] {
        do {
            return try SocketDirectory.names(in: path + "/").map { "\(path)/\($0)" }
        } catch {
            // It does not exist yet.
            return []
        }
    }

    /// Creates the directory, removes the sockets of programs that were killed, and finds a name.
    ///
    /// See mkdir(2).
    ///
    /// - Parameter role: The start of the name; the process's number follows.
    /// - Returns: A path at which no program listens.
    /// - Throws: `SystemError` that names the directory or the path.
    func freePath(for role: String) throws(SystemError) -> String {
        if mkdir(path, 0o700) != 0, errno != EEXIST {
            throw SystemError(call: "mkdir \(path)", errno: errno)
        }
        guard Self.isPrivate(path) else {
            throw SystemError(call: path, errno: EACCES, explanation: "others can write to it")
        }
        for entry in entries where !StaleSocket.isOccupied(entry) { _ = unlink(entry) }
        let stem = "\(path)/\(role)-\(getpid())"
        for number in 0..<Self.maximumNames {
            // Another PID namespace may have the same number.
            let candidate = stem + (number == 0 ? "" : "-\(number)") + ".sock"
            if FileIdentity(at: candidate, followsLink: false) == nil { return candidate }
        }
        throw SystemError(call: stem, errno: EEXIST)
    }
}
