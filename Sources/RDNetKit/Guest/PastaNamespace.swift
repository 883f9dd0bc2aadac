/// What the child of `pasta` makes in the namespace: the interface, listeners on its loopback
/// addresses, and open tables of its sockets.
struct PastaNamespace: Sendable {
    /// A port of the namespace's loopback addresses.
    struct Listener: Hashable, Sendable {
        var isUDP: Bool
        var ports: PastaPorts.Pair

        /// Creates the socket at one of the addresses.
        fileprivate func open(at address: IPAddress) throws(SystemError) -> OwnedDescriptor {
            let endpoint = Endpoint(address: address, port: ports.outer)
            return try isUDP ? ListeningSocket.udp(endpoint) : ListeningSocket.tcp(endpoint)
        }
    }

    /// The namespace to enter; nil for a new one.
    var existing: (userNamespace: String?, network: String)?
    var interface: NamespaceInterface
    var listeners: [Listener]
    /// Whether the tables are wanted.
    var hasSocketTables: Bool
    /// The program that this process becomes; empty for none.
    var command: [String]
    var environment: [String]
    var searchPath: String?

    /// Does all of the child's work.
    ///
    /// It passes the interface's descriptor, then one for each listener and address, then the
    /// tables.
    ///
    /// - Parameters:
    ///   - socket: Connected to the parent, which receives as long as this process sends.
    ///   - printError: Prints why the command cannot run.
    /// - Returns: The exit status, unless this process becomes the command.
    /// - Throws: `SystemError`, or `GuestInterfaceError`.
    func serve(
        _ socket: borrowing OwnedDescriptor,
        printError: (String) -> Void
    ) throws -> Int32 {
        let parent = ProcessEnvironment.parent
        if let existing {
            try Namespace.join(user: existing.userNamespace, network: existing.network)
        } else {
            try Namespace.enterFresh()
        }
        Namespace.endWithParent(parent)
        try interface.make(for: socket, hasRoute: true)
        if interface.configuration == nil { try GuestInterface.enableLoopback() }
        try passListeners(over: socket)
        if hasSocketTables { try passTables(over: socket) }
        guard !command.isEmpty else { return 0 }
        try NamespaceEnvoy.waitForParent(socket)
        let failure = ProgramExecution.become(
            command,
            environment: environment,
            searchPath: searchPath
        )
        printError("rdnet pasta: \(failure)\n")
        return failure.status
    }

    /// The addresses of each listener; a namespace may be without the second.
    static let loopbackAddresses = [IPAddress.loopbackIPv4, .loopbackIPv6]

    private func passListeners(over socket: borrowing OwnedDescriptor) throws(SystemError) {
        for listener in listeners {
            for address in Self.loopbackAddresses {
                do throws(SystemError) {
                    let descriptor = try listener.open(at: address)
                    try DescriptorPassing.send(descriptor.number, over: socket)
                } catch {
                    guard !address.isIPv4 else { throw error }
                    try NamespaceEnvoy.sendNothing(over: socket)
                }
            }
        }
    }

    private func passTables(over socket: borrowing OwnedDescriptor) throws(SystemError) {
        for name in SocketTableFile.names {
            do throws(SystemError) {
                let descriptor = try SocketTableFile.open(name)
                try DescriptorPassing.send(descriptor.number, over: socket)
            } catch {
                try NamespaceEnvoy.sendNothing(over: socket)
            }
        }
    }
}
