import Testing

@testable import RDNetKit

/// Requests in the words of slirp4netns's manual, to a table of real host sockets.
@Suite("slirp4netns's API socket")
struct ForwardSocketTests {
    private let directory = TemporaryDirectory()
    private let connector = IdleConnector()
    private let table: ForwardTable
    private let socket: ForwardSocket

    init() throws {
        table = ForwardTable(
            loop: try EventLoop(),
            connector: connector,
            log: .discarding(),
            ssh: SSHProgram { _ in nil }
        )
        socket = try ForwardSocket(
            at: directory.file("api.sock"),
            table,
            guest: IPAddress(ipv4: 0x0a00_0264),
            subnet: try #require(Subnet("10.0.2.0/24")),
            log: .discarding()
        )
    }

    private func answer(_ request: String) -> String? {
        socket.answer(Array(request.utf8)).map { String(decoding: $0, as: UTF8.self) }
    }

    private func add(_ arguments: String) -> String? {
        answer(#"{"execute": "add_hostfwd", "arguments": {"# + arguments + "}}")
    }

    @Test func `add, list, remove`() throws {
        let arguments =
            #""proto": "tcp", "host_addr": "127.0.0.8", "host_port": 8080, "guest_port": 80"#
        #expect(add(arguments) == #"{"return":{"id":1}}"#)
        #expect(table.entries.map(\.local) == ["127.0.0.8:8080"])
        #expect(
            add(
                #""proto":"udp","host_addr":"127.0.0.8","host_port":53,"guest_port":53,"#
                    + #""guest_addr":"10.0.2.7""#
            ) == #"{"return":{"id":2}}"#
        )
        #expect(
            answer(#"{"execute":"list_hostfwd"}"#)
                == #"{"return":{"entries":[{"id":1,"proto":"tcp","host_addr":"127.0.0.8","#
                + #""host_port":8080,"guest_addr":"10.0.2.100","guest_port":80},"#
                + #"{"id":2,"proto":"udp","host_addr":"127.0.0.8","host_port":53,"#
                + #""guest_addr":"10.0.2.7","guest_port":53}]}}"#
        )
        #expect(
            add(arguments)
                == #"{"error":{"desc":"bad request: add_hostfwd: slirp_add_hostfwd failed: "#
                + #"bind 127.0.0.8:8080: Address already in use"}}"#
        )
        let remove = #"{"execute":"remove_hostfwd","arguments":{"id":1}}"#
        #expect(answer(remove) == #"{"return":{}}"#)
        #expect(
            answer(remove)?.hasPrefix(#"{"error":{"desc":"bad request: remove_hostfwd: "#) == true
        )
        #expect(table.entries.map(\.local) == ["127.0.0.8:53"])
        socket.close()
        #expect(table.entries.isEmpty)
    }

    @Test(
        "what is wrong",
        arguments: [
            (#""host_port":1,"guest_port":1"#, "bad arguments.proto"),
            (#""proto":"sctp","host_port":1,"guest_port":1"#, "bad arguments.proto"),
            (#""proto":"tcp6","host_port":1,"guest_port":1"#, "bad arguments.proto"),
            (#""proto":"tcp","host_port":0,"guest_port":1"#, "bad arguments.host_port"),
            (#""proto":"tcp","host_port":"1","guest_port":1"#, "bad arguments.host_port"),
            (#""proto":"tcp","host_port":1,"guest_port":65536"#, "bad arguments.guest_port"),
            (
                #""proto":"tcp","host_port":1,"guest_port":1,"host_addr":"x""#,
                "bad arguments.host_addr"
            ),
            (
                #""proto":"tcp","host_port":1,"guest_port":1,"guest_addr":"10.0.3.1""#,
                "bad arguments.guest_addr: expected an address in 10.0.2.0/24"
            ),
        ]
    )
    func faults(arguments: String, fault: String) {
        #expect(
            add(arguments)?.hasPrefix(#"{"error":{"desc":"bad request: add_hostfwd: "# + fault)
                == true
        )
        #expect(table.entries.isEmpty)
    }

    @Test func `an incomplete request waits for the rest; another command is refused`() {
        #expect(answer("") == nil)
        #expect(answer(#"{"execute":"list_"#) == nil)
        #expect(answer("x")?.hasPrefix(#"{"error":"#) == true)
        #expect(answer("{}") == #"{"error":{"desc":"bad request: no execute"}}"#)
        #expect(
            answer(#"{"execute":"quit"}"#)
                == #"{"error":{"desc":"bad request: unknown execute quit"}}"#
        )
    }
}
