/// A unix socket in a guest, as SSH reaches it.
struct SSHTarget: Equatable, CustomStringConvertible {
    static let port: UInt16 = 22

    /// Who the guest's SSH server is asked to let in.
    var user: String
    /// The guest's SSH server.
    var server: Endpoint
    /// The socket's path in the guest; absolute.
    var path: String
    /// The file of the private key, on the host.
    var identity: String

    /// Checks what names a target.
    ///
    /// - Throws: `ForwardError` about the first thing that is missing.
    init(
        user: String,
        server: Endpoint,
        path: String,
        identity: String
    ) throws(ForwardError) {
        guard !identity.isEmpty else { throw .missingSSHKey }
        guard path.hasPrefix("/") else { throw .missingSSHPath }
        guard !user.isEmpty else { throw .missingSSHUser }
        // They end a word of a command line.
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

    /// What `ssh` is told, without its own name.
    ///
    /// It speaks over its standard input and output (`ProxyCommand=-`, OpenSSH since 6.4), asks
    /// nobody anything, reads no one's settings, uses no other key than the one given, and takes
    /// any host key: the connection does not leave this machine.
    ///
    /// - Parameters:
    ///   - socket: Where it is to listen; no colon, backslash or percent sign in it.
    ///   - key: The file of the private key; nor here.
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

    /// The path as a part of `-L`: a colon divides its parts, a backslash takes that meaning away,
    /// and a percent sign begins a token.
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
