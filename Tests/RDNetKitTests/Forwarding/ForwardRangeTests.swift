import Testing

@testable import RDNetKit

@Suite(
    "forwards of a range of ports",
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct ForwardRangeTests {
    private static let local = "127.0.0.1:10000-10019"
    private let loop: EventLoop
    private let connector = RecordingConnector()
    private let host: NetworkNamespace

    init() throws {
        loop = try EventLoop()
        host = try NetworkNamespace()
        try host.run("ip", "link", "set", "lo", "up")
    }

    private func makeTable(descriptors: Int = 20_000) -> ForwardTable {
        ForwardTable(
            loop: loop,
            connector: connector,
            log: .discarding(),
            ssh: SSHProgram { _ in nil },
            descriptors: descriptors
        )
    }

    private func expose(
        _ transport: String = "udp",
        _ local: String = local,
        _ remote: String = "192.168.127.2:101-120",
        in forwards: ForwardTable
    ) throws {
        try host.enter { try forwards.expose(transport, local: local, remote: remote) }
    }

    private func isExposed(_ transport: String, in forwards: ForwardTable) -> Bool {
        do {
            try expose(transport, in: forwards)
            return true
        } catch {
            return false
        }
    }

    @Test func `a range is as many forwards, and each can be removed alone`() throws {
        let forwards = makeTable()
        try expose(in: forwards)
        #expect(forwards.entries.count == 20)
        let entry = ForwardTable.Entry(
            local: "127.0.0.1:10019",
            remote: "192.168.127.2:120",
            transport: .udp
        )
        #expect(forwards.entries.last == entry)
        try forwards.unexpose("udp", local: entry.local)
        // The remaining ports can be removed one by one, but not as an incomplete range.
        #expect(throws: ForwardError.notFound) { try forwards.unexpose("udp", local: Self.local) }
        #expect(forwards.entries.count == 19)
        try forwards.unexpose("", local: "127.0.0.1:10000-10018")
        #expect(forwards.entries.isEmpty)
    }

    @Test("a range with a port that is taken opens none", arguments: ["tcp", "udp"])
    func isTaken(transport: String) throws {
        let forwards = makeTable()
        let taken = Endpoint(address: .loopbackIPv4, port: 10_019)
        let other = try host.enter {
            try transport == "tcp" ? ListeningSocket.tcp(taken) : ListeningSocket.udp(taken)
        }
        let refusal = ForwardError.refused(
            network: transport,
            address: "\(taken)",
            reason: "bind: address already in use"
        )
        #expect(throws: refusal) { try expose(transport, in: forwards) }
        #expect(forwards.entries.isEmpty)
        _ = consume other
        // The sockets of the attempt that failed are closed, too.
        #expect(followsClose { isExposed(transport, in: forwards) })
        // A range that includes a port of another one fails as a whole.
        let running = ForwardError.alreadyRunning(protocol: transport, local: "127.0.0.1:10019")
        #expect(throws: running) { try expose(transport, "127.0.0.1:10019-10038", in: forwards) }
        #expect(forwards.entries.count == 20)
        forwards.close()
    }

    @Test func `ranges of different lengths are refused in one sentence`() {
        let forwards = makeTable()
        for remote in ["192.168.127.2:101-119", "192.168.127.2:101"] {
            let error = ForwardError.differentLengths(local: Self.local, remote: remote)
            #expect(throws: error) { try expose("udp", Self.local, remote, in: forwards) }
        }
        #expect(forwards.entries.isEmpty)
    }

    @Test func `there are as many forwards as descriptors, less those that flows need`() throws {
        let forwards = makeTable(descriptors: 1_000)
        let ports = "10000-10744"
        #expect(throws: ForwardError.tooMany(limit: 744)) {
            try expose("udp", "127.0.0.1:\(ports)", "192.168.127.2:\(ports)", in: forwards)
        }
        #expect(forwards.entries.isEmpty)
        let fewer = "10000-10743"
        try expose("udp", "127.0.0.1:\(fewer)", "192.168.127.2:\(fewer)", in: forwards)
        #expect(forwards.entries.count == 744)
        forwards.close()
    }
}
