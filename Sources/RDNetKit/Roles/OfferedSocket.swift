/// The API socket that a network offers under the run-time directory if no other address was given,
/// so that `ctl` finds it without words.
enum OfferedSocket {
    /// Finds the address to serve the API at, where no other was given.
    ///
    /// A network without such a socket works as before, so a failure is no more than a debug line.
    ///
    /// - Parameters:
    ///   - role: The start of the socket's name.
    ///   - access: Says whether the socket is wanted.
    ///   - environment: Looks up a variable.
    ///   - log: The role's logger.
    /// - Returns: The address, or none.
    static func addresses(
        for role: String,
        _ access: APIAccess,
        _ environment: (String) -> String?,
        _ log: Logger
    ) -> [StreamAddress] {
        guard access.offersSocket else { return [] }
        do {
            guard let directory = RuntimeDirectory(environment) else { return [] }
            let path = try directory.freePath(for: role)
            guard StreamAddress.isPath(path) else { return [] }
            log.debug("API socket offered", ["path": path])
            return [.unix(path)]
        } catch {
            log.debug("no API socket is offered", ["cause": "\(error)"])
            return []
        }
    }

    /// Finds the API of the only network that runs.
    ///
    /// - Throws: `RoleFailure` with status 2 if there is none, or a list if there are several.
    static func only(_ environment: (String) -> String?) throws(RoleFailure) -> StreamAddress {
        let sockets = RuntimeDirectory(environment)?.sockets ?? []
        guard let first = sockets.first else {
            throw RoleFailure(
                "no API address given, and no network of this user offers its own: use --api "
                    + "ADDRESS or set RDNET_API to the address that host-switch was given as "
                    + "--api, or gvproxy as -listen",
                status: .misuse
            )
        }
        guard sockets.count == 1 else {
            throw RoleFailure(
                "several networks run; choose one with --api:\n"
                    + sockets.map { "  \($0)" }.joined(separator: "\n"),
                status: .misuse
            )
        }
        return .unix(first)
    }
}

extension NetworkSettings {
    /// Whether a program that runs on the host, but in the network's namespace, may change the
    /// network through its API.
    ///
    /// A command that the settings restrict could lift the restriction there.
    var trustsLocalCommands: Bool {
        !policy.isOn && !blocksHostLoopback && access.guestBinds.isEmpty
            && (access.guestAPI ?? .forwards) != .none
    }
}
