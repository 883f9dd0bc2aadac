/// The validated combination of `gvproxy`'s command line and file.
///
/// Precedence differs between values, and some defaults apply only without a file; this type holds
/// all of these rules. Errors use gvproxy's texts, because its callers search for them.
struct GVProxyConfiguration {
    /// Why there is no configuration.
    struct Fault: Error, Equatable, CustomStringConvertible {
        let description: String

        init(_ description: String) {
            self.description = description
        }
    }

    /// The facts about the machine that the checks need.
    struct Machine {
        /// Whether a path exists.
        var exists: (String) -> Bool
        /// Whether something other than a stale socket has a path.
        var isOccupied: (String) -> Bool
    }

    var listen: [String]
    var services: String
    var links: GVProxyLinks
    var pidFile: String
    var logFile: String
    var logLevel: LogLevel
    /// The path of the notification socket; empty for none.
    var notification: String
    var network: NetworkSettings
    var sandbox: SandboxSettings
    var zones: [GVProxyFile.Zone]
    var forwards: [TextPair]
    /// nil for none.
    var sshPort: Int?
    var socketForwards: [SocketForward]

    /// Combines command line and file.
    ///
    /// - Parameters:
    ///   - settings: The command line.
    ///   - file: Nil if none was named.
    ///   - machine: For the checks of paths.
    /// - Throws: `Fault`.
    init(
        _ settings: GVProxySettings,
        _ file: GVProxyFile?,
        _ machine: Machine
    ) throws(Fault) {
        let given = file ?? GVProxyFile()
        listen = settings.listen.isEmpty ? given.listen : settings.listen
        services = Self.first(settings.services, given.services)
        links = GVProxyLinks(
            qemu: Self.first(settings.links.qemu, given.links.qemu),
            bess: Self.first(settings.links.bess, given.links.bess),
            vfkit: Self.first(settings.links.vfkit, given.links.vfkit),
            vhost: Self.first(settings.links.vhost, given.links.vhost),
            vpnkit: Self.first(settings.links.vpnkit, given.links.vpnkit),
            stdio: Self.first(settings.links.stdio, given.links.stdio)
        )
        pidFile = Self.first(settings.pidFile, given.pidFile)
        logFile = Self.first(settings.common.logFile, given.logFile)
        let isDebugging = settings.common.isDebugging || given.isDebugging
        let level = Self.level(given.logLevel) ?? settings.common.leastLogLevel
        logLevel = isDebugging ? .debug : level
        network = try Self.network(settings, given, hasFile: file != nil)
        sandbox = settings.sandbox
        zones = file == nil ? Self.builtInZones(network) : given.zones
        forwards = given.forwards
        sshPort = file == nil && settings.sshPort != -1 ? settings.sshPort : nil
        notification = try Self.notification(settings.notification, or: given.notification)
        try Self.check(links, machine)
        if let sshPort, !(1_024...65_535).contains(sshPort) {
            throw Fault("ssh-port value must be between 1024 and 65535")
        }
        socketForwards = given.socketForwards + (try Self.socketForwards(settings))
        for forward in socketForwards where !machine.exists(forward.identity) {
            let name = forward.identity
            throw Fault(
                "identity file \"\(name)\" can't be loaded: stat \(name): no such file or directory"
            )
        }
    }

    private static func first(_ strong: String, _ weak: String) -> String {
        strong.isEmpty ? weak : strong
    }

    /// logrus's levels; nil for an unknown word, which only causes a warning.
    private static func level(_ text: String) -> LogLevel? {
        switch text.lowercased() {
        case "panic", "fatal": .fatal
        case "error": .error
        case "warn", "warning": .warning
        case "info": .info
        case "debug", "trace": .debug
        default: nil
        }
    }

    private static func builtInZones(_ network: NetworkSettings) -> [GVProxyFile.Zone] {
        ["containers.internal.", "docker.internal."].map { name in
            GVProxyFile.Zone(
                name: name,
                records: [
                    GVProxyFile.Record(name: "gateway", address: "\(network.gateway)"),
                    GVProxyFile.Record(name: "host", address: "\(network.hostAlias)"),
                ]
            )
        }
    }

    private static func socketForwards(
        _ settings: GVProxySettings
    ) throws(Fault) -> [SocketForward] {
        let count = settings.forwardSockets.count
        guard settings.forwardDestinations.count == count, settings.forwardUsers.count == count,
            settings.forwardIdentities.count == count
        else {
            throw Fault(
                "--forward-sock, --forward-dest, --forward-user, and --forward-identity must all be "
                    + "specified together, the same number of times, or not at all"
            )
        }
        return (0..<count).map { index in
            SocketForward(
                socket: settings.forwardSockets[index],
                destination: settings.forwardDestinations[index],
                user: settings.forwardUsers[index],
                identity: settings.forwardIdentities[index]
            )
        }
    }

    // MARK: Listening addresses

    private static func notification(
        _ address: String,
        or path: String
    ) throws(Fault) -> String {
        if address.isEmpty { return path.removingPrefix("unix://").map { String($0) } ?? path }
        guard let path = address.removingPrefix("unix://"), !path.isEmpty else {
            throw Fault("notification listen address must be unix:// address")
        }
        return String(path)
    }

    private static func check(_ links: GVProxyLinks, _ machine: Machine) throws(Fault) {
        if let path = links.qemu.removingPrefix("unix://"), machine.isOccupied(String(path)) {
            throw Fault("\"\(path)\" already exists")
        }
        try check(links.bess, "bess", "unixpacket", machine)
        try check(links.vfkit, "vfkit", "unixgram", machine)
        try check(links.vhost, "vhost", "unix", machine)
        let (qemu, bess, vpnkit) = (links.qemu, links.bess, links.vpnkit)
        let pairs = [
            ("qemu and vpnkit", !qemu.isEmpty && !vpnkit.isEmpty),
            ("bess and vpnkit", !bess.isEmpty && !vpnkit.isEmpty),
            ("qemu and bess", !qemu.isEmpty && !bess.isEmpty),
        ]
        for (names, isBoth) in pairs where isBoth {
            throw Fault("cannot use \(names) protocol at the same time")
        }
    }

    private static func check(
        _ address: String,
        _ name: String,
        _ scheme: String,
        _ machine: Machine
    ) throws(Fault) {
        guard !address.isEmpty else { return }
        guard let path = address.removingPrefix("\(scheme)://"), path.hasPrefix("/") else {
            throw Fault("\(name) listen address must be \(scheme):// address")
        }
        if machine.isOccupied(String(path)) { throw Fault("\"\(path)\" already exists") }
    }
}
