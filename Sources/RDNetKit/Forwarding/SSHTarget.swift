/// A unix socket in a guest, reached by SSH.
struct SSHTarget: Equatable, CustomStringConvertible {
    static let port: UInt16 = 22

    /// The user name on the guest's SSH server.
    var user: String
    /// The guest's SSH server.
    var server: Endpoint
    /// The absolute path of the socket in the guest.
    var path: String
    /// The private key's file on the host.
    var identity: String

    /// Creates a target from validated parts.
    ///
    /// - Throws: `ForwardError` for the first part that is missing.
    init(
        user: String,
        server: Endpoint,
        path: String,
        identity: String
    ) throws(ForwardError) {
        guard !identity.isEmpty else { throw .missingSSHKey }
        guard path.hasPrefix("/") else { throw .missingSSHPath }
        guard !user.isEmpty else { throw .missingSSHUser }
        // A NUL would end a command-line argument.
        guard [user, path, identity].allSatisfy({ !$0.utf8.contains(0) }) else {
            throw .badSSHText
        }
        self.user = user
        self.server = server
        self.path = path
        self.identity = identity
    }

    /// `root@192.168.127.2:22/run/podman/podman.sock`.
    var description: String { "\(user)@\(server)\(path)" }

    /// Returns the arguments of `ssh`, without its own name.
    ///
    /// `ssh` communicates over its standard input and output (`ProxyCommand=-`, OpenSSH since 6.4),
    /// never prompts, reads no configuration file, uses only the given key, and accepts any host
    /// key, because the connection does not leave this machine.
    ///
    /// - Parameters:
    ///   - socket: The listening socket's path, without colon, backslash or percent sign.
    ///   - key: The private key's file, also without them.
    /// - Returns: Options and the destination.
    func arguments(listeningAt socket: String, key: String) -> [String] {
        let options = [
            "ProxyCommand=-", "BatchMode=yes", "PreferredAuthentications=publickey",
            "IdentitiesOnly=yes", "IdentityAgent=none", "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null", "GlobalKnownHostsFile=/dev/null",
            "ExitOnForwardFailure=yes", "StreamLocalBindMask=0177", "ConnectTimeout=5",
            "ServerAliveInterval=10", "ServerAliveCountMax=3", "LogLevel=INFO",
        ]
        return ["-N", "-T", "-F", "none"] + options.flatMap { ["-o", $0] }
            + ["-i", key, "-l", user, "-L", "\(socket):\(escapedPath)", "\(server.address)"]
    }

    /// The path as a part of `-L`: a colon separates parts, a backslash escapes it, and a percent
    /// sign starts a token.
    private var escapedPath: String {
        var text = ""
        for character in path.unicodeScalars {
            switch character {
            case ":", "\\": text += "\\"
            case "%": text += "%"
            default: break
            }
            text.unicodeScalars.append(character)
        }
        return text
    }
}
