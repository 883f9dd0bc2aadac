/// A child process that makes sockets in a namespace for its parent, as long as that runs
/// (`NamespaceSocketMaker`).
///
/// The namespace belongs to somebody else, or a command has taken the place of the process that
/// made it.
struct NamespaceSocketServer: Sendable {
    /// The path of the user namespace to enter first; nil for none.
    var userNamespace: String?
    /// The path of the network namespace.
    var network: String
    /// Whether the parent wants sockets that listen on any port.
    var listens: Bool
    /// Whether this process gives up everything else.
    var isRestricted: Bool

    /// Does all of the child's work.
    ///
    /// - Parameter parent: Receives a packet socket for the requests.
    /// - Returns: The exit status, when the parent has ended.
    /// - Throws: `SystemError`.
    func serve(_ parent: borrowing OwnedDescriptor) throws(SystemError) -> Int32 {
        let process = ProcessEnvironment.parent
        WorkingChild.begin("rdnet-sockets", keeping: [0, 1, 2, parent.number])
        // A caller of the parent may wait until nobody has them open.
        StandardStream.discardAll()
        try Namespace.join(user: userNamespace, network: network)
        Namespace.endWithParent(process)
        let loop = try EventLoop()
        let pair = try Socket.pair(ofPackets: true)
        let maker = try NamespaceSocketMaker(pair.one, loop: loop)
        try DescriptorPassing.send(pair.other.number, over: parent)
        Self.close(pair.other)
        if isRestricted { try restrict() }
        while maker.isServing { try loop.turn() }
        return 0
    }

    /// Closes this copy of the parent's descriptor, to notice the parent's end.
    private static func close(_ descriptor: consuming OwnedDescriptor) {}

    private func restrict() throws(SystemError) {
        try Privileges.refuseNew()
        _ = try Landlock(rules: []).enforce()
        try Privileges.reduce(to: listens ? [.netBindService] : [])
        try Privileges.hideMemory()
        try SandboxCalls.service(ProcessEnvironment.process).enforceIfSupported()
    }
}
