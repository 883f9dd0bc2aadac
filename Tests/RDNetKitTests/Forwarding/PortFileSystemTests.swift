import Testing

@testable import RDNetKit

@Suite("the control file system")
struct PortFileSystemTests {
    private let table: ForwardTable
    private let connector = IdleConnector()
    private let system: PortFileSystem

    init() throws {
        let table = ForwardTable(
            loop: try EventLoop(),
            connector: connector,
            log: .discarding(),
            ssh: SSHProgram { _ in nil }
        )
        let forwards = PortFileForwards(
            table: table,
            binds: [],
            socketRefusal: { PortFileFolders(folders: ["/tmp"], haveTargets: true).refusal($0) },
            reach: { _, _ in .reachable(released: {}) },
            owner: { _ in .host }
        )
        self.table = table
        system = PortFileSystem(log: .discarding()) { request, client throws(PortFileError) in
            try forwards.open(request, for: client)
        }
    }

    private static let anyPort = "tcp:127.0.0.9:0:tcp:172.17.0.2:80"

    /// The ports in the table of forwards.
    private var open: [String] { table.entries.map(\.local) }

    @Test func `a port has the file's lifetime, whatever else opens and closes ctl`() throws {
        let client = try PortFileClient(system)
        let answer = try client.publish(Self.anyPort, as: "web", 1)
        let port = try #require(answer.split(separator: ":").dropFirst(2).first)
        #expect(answer == "OK tcp:127.0.0.9:\(port):tcp:172.17.0.2:80\n")
        #expect(open == ["127.0.0.9:\(port)"])
        #expect(try client.names() == ["web"])

        // As cat(1) does, in the same and in another session.
        let other = try PortFileClient(system)
        for reader in [client, other] {
            _ = try reader.walk(0, 5, "web", "ctl")
            _ = try reader.open(5)
            #expect(try reader.read(5) == answer)
            #expect(try reader.read(5, at: answer.utf8.count).isEmpty)
            #expect(try reader.write(5, Self.anyPort).error == "permission denied")
            try reader.clunk(5)
        }
        #expect(try other.walk(0, 6, "web").type == 111)
        #expect(try other.read(6) == answer.dropFirst(3))
        other.session.end()
        #expect(open.count == 1)

        try client.clunk(1)
        #expect(open.isEmpty)
        #expect(try client.names().isEmpty)
    }

    @Test func `anybody may remove a port; what is closed later does not harm a new one`() throws {
        let client = try PortFileClient(system)
        let other = try PortFileClient(system)
        for name in [["web"], ["web", "ctl"]] {
            _ = try client.publish(Self.anyPort, as: "web", 1)
            _ = name.count == 1 ? try other.walk(0, 7, "web") : try other.walk(0, 7, "web", "ctl")
            #expect(try other.remove(7).type == 123)
            #expect(open.isEmpty)
            #expect(try client.read(1).hasPrefix("OK "))
            _ = try client.publish(Self.anyPort, as: "web", 2)
            try client.clunk(1)
            #expect(open.count == 1)
            try client.clunk(2)
        }
        _ = try other.walk(0, 7, "README")
        #expect(try other.remove(7).error == "permission denied")
        _ = try other.walk(0, 7)
        #expect(try other.remove(7).error == "permission denied")
    }

    @Test func `a session's end closes its ports and removes its directories, and only those`()
        throws
    {
        let client = try PortFileClient(system)
        let other = try PortFileClient(system)
        _ = try client.publish(Self.anyPort, as: "one", 1)
        _ = try client.make("empty", 2)
        _ = try other.publish(Self.anyPort, as: "two", 1)
        client.session.end()
        #expect(try other.names() == ["two"])
        #expect(open.count == 1)
    }

    @Test func `a failure is the answer; its directory ends with the file`() throws {
        let client = try PortFileClient(system)
        let answer = try client.publish(Self.anyPort, as: "web", 1)
        let taken = String(answer.dropFirst(3).dropLast())
        let port = try #require(taken.split(separator: ":").dropFirst(2).first)
        #expect(
            try client.publish(taken, as: "again", 2)
                == "ERROR Bind for 127.0.0.9:\(port) failed: port is already allocated\n"
        )
        #expect(
            try client.publish("tcp:203.0.113.1:80:tcp:172.17.0.2:80", as: "far", 3)
                == "ERROR listen tcp 203.0.113.1:80: bind: cannot assign requested address\n"
        )
        let long = try client.publish(String(repeating: "x", count: 500), as: "long", 4)
        #expect(long.hasPrefix("ERROR Failed to parse request [xxx"))
        #expect(long.utf8.count == 100)
        for fid in 2...4 as ClosedRange<UInt32> { try client.clunk(fid) }
        #expect(try client.names() == ["web"])
        #expect(open.count == 1)
    }

    @Test func `a port that the API closes is no longer in the tree`() throws {
        let client = try PortFileClient(system)
        _ = try client.publish(Self.anyPort, as: "web", 1)
        try table.unexpose("tcp", local: try #require(open.first))
        #expect(try client.names().isEmpty)
        #expect(try client.read(1).hasPrefix("OK "))
        try client.clunk(1)
    }

    @Test func `a directory without a request may be made again, a port may not`() throws {
        let client = try PortFileClient(system)
        let other = try PortFileClient(system)
        #expect(try client.make("web", 1).type == 115)
        #expect(try other.make("web", 1).type == 115)
        client.session.end()
        #expect(try other.names() == ["web"])
        _ = try other.walk(0, 2, "web", "ctl")
        _ = try other.write(2, Self.anyPort)
        #expect(try other.make("web", 3).error == "file already exists")
        #expect(try other.make("README", 3).error == "file already exists")
        for name in ["", ".", "..", "a/b", String(repeating: "x", count: 256)] {
            #expect(try other.make(name, 3).error == "Invalid argument")
        }
    }

    @Test func `the first message is a version and the second one an attach`() throws {
        let early = try PortFileClient(system, begins: false)
        #expect(try early.walk(0, 1).error == "Expected Version message")
        #expect(early.session.isOver)
        #expect(
            early.send(100, PortFileClient.number(8_192, 4) + PortFileClient.text("9P2000")) == nil
        )

        let second = try PortFileClient(system, begins: false)
        _ = second.send(100, PortFileClient.number(8_192, 4) + PortFileClient.text("9P2000"))
        #expect(try second.walk(0, 1).error == "Expected Attach message")
        #expect(second.session.isOver)

        for version in ["NFS", "", "9P2000"] {
            let client = try PortFileClient(system, begins: false)
            let length = PortFileClient.number(version == "9P2000" ? 100 : 8_192, 4)
            #expect(client.send(100, length + PortFileClient.text(version)) == nil)
            #expect(client.session.isOver)
        }
    }

    @Test func `misuse is answered and harms nobody`() throws {
        let client = try PortFileClient(system)
        #expect(try client.walk(77, 1).error == "fid unknown or out of range")
        #expect(try client.walk(0, 1, "nothing").error == "file not found")
        #expect(try client.walk(0, 1, "README", "ctl").error == "file not found")
        #expect(try client.walk(0, .max).error == "fid unknown or out of range")
        #expect(try client.write(0, "x").error == "permission denied")
        #expect(try client.request(102, []).error == "Function not implemented")
        #expect(try client.request(200, []).error == "Invalid argument")
        #expect(try client.request(110, [1]).error == "Invalid argument")
        #expect(try client.request(108, [9, 0]).type == 109)
        try client.clunk(77)
        // Only a directory can be made, and only in the root.
        _ = try client.walk(0, 1)
        let file = PortFileClient.number(1, 4) + PortFileClient.text("x") + [0, 0, 0, 0, 0]
        #expect(try client.request(114, file).error == "permission denied")
        _ = try client.make("web", 2)
        let nested = PortFileClient.number(2, 4) + PortFileClient.text("x") + [0, 0, 0, 0x80, 0]
        #expect(try client.request(114, nested).error == "permission denied")
        // A directory is read from where the last read ended.
        let reply = try client.request(
            116,
            PortFileClient.number(0, 4) + PortFileClient.number(7, 8) + PortFileClient.number(9, 4)
        )
        #expect(reply.error == "Invalid argument")
    }

    @Test func `a fid that gets another meaning closes what it held`() throws {
        let client = try PortFileClient(system)
        _ = try client.publish(Self.anyPort, as: "web", 1)
        _ = try client.walk(1, 1)
        #expect(open.count == 1)
        _ = try client.walk(0, 1)
        #expect(open.isEmpty)
    }

    @Test func `a full tree refuses directories and keeps its ports`() throws {
        let client = try PortFileClient(system)
        for index in 0..<PortFileSystem.maximumEntries {
            #expect(try client.make("\(index)", 1).type == 115)
        }
        #expect(try client.make("more", 1).error == "Too many open files")
        #expect(try client.names().count == PortFileSystem.maximumEntries)
    }
}
