import CLinux
import Foundation
import Glibc
import Testing

@testable import RDNetKit

@Suite(
    "the API of a running host-switch",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct HostAPITests {
    private typealias Guest = SwitchedGuest

    private func connect(_ world: SwitchedGuest) throws -> OwnedDescriptor {
        let address = try #require(SocketAddress(path: world.directory.file("api")))
        let socket = try Socket.makeUnix()
        let isConnected = try Socket.connect(socket, to: address)
        try #require(isConnected)
        return socket
    }

    /// Receives until a condition holds; returns the text received.
    private func text(of client: StreamClient, until done: (String) -> Bool) -> String {
        var text = ""
        _ = comesTrue {
            text += client.receive().text
            return done(text)
        }
        return text
    }

    @Test func `gvproxy's documentation can be followed to the letter`() throws {
        let world = try Guest()
        try world.serveEcho(6_443, in: world.guest)
        let curl = { (command: String) in
            let socket = world.directory.file("api")
            let line = command.replacingOccurrences(of: "/tmp/network.sock", with: socket)
            return try run("sh", "-c", line)
        }
        let stats = try curl("curl  --unix-socket /tmp/network.sock http:/unix/stats")
        for name in [
            "BytesSent", "BytesReceived", "UnknownProtocolRcvdPackets", "MalformedRcvdPackets",
        ] {
            #expect(stats.contains("\"\(name)\":"))
        }
        _ = try curl(
            #"curl  --unix-socket /tmp/network.sock http:/unix/services/forwarder/expose -X POST -d '{"local":":6443","remote":"192.168.127.2:6443"}'"#
        )
        let list = "curl  -s --unix-socket /tmp/network.sock http:/unix/services/forwarder/all"
        #expect(
            try curl(list)
                == #"[{"local":":6443","remote":"192.168.127.2:6443","protocol":"tcp"}]"# + "\n"
        )
        #expect(try world.load("rr", "127.0.0.1", "6443", "0.1", in: world.host)["count"] ?? 0 > 0)
        _ = try curl(
            #"curl  --unix-socket /tmp/network.sock http:/unix/services/forwarder/unexpose -X POST -d '{"local":":6443"}'"#
        )
        #expect(try curl(list) == "[]\n")
    }

    @Test func `a guest comes by /connect, and the frames behind its request count`() throws {
        let world = try Guest()
        let second = try NetworkNamespace()
        let socket = try connect(world)
        // Who has 192.168.127.1? Tell 192.168.127.77, at 52:54:00:00:00:77.
        let mac: [UInt8] = [0x52, 0x54, 0, 0, 0, 0x77]
        let question =
            [255, 255, 255, 255, 255, 255] + mac + [8, 6, 0, 1, 8, 0, 6, 4, 0, 1] + mac
            + [192, 168, 127, 77, 0, 0, 0, 0, 0, 0, 192, 168, 127, 1]
        let head =
            "POST /connect HTTP/1.1\r\nHost: \r\nUser-Agent: Go-http-client/1.1\r\nContent-Length: 0\r\n\r\n"
        let sent = try Socket.send(socket, Array(head.utf8) + [42, 0] + question)
        #expect(sent == head.utf8.count + 44)
        // The first bytes on the connection are the answer, after its length.
        var answer = [UInt8](repeating: 0, count: 62)
        let number = socket.number
        let hasCome = comesTrue { recv(number, &answer, 62, Int32(MSG_PEEK)) == 62 }
        #expect(hasCome)
        #expect(Array(answer[..<8]) == [60, 0] + mac)
        #expect(Array(answer[22..<24]) == [0, 2])
        #expect(recv(number, &answer, 62, 0) == 62)

        let stream = FileHandle(fileDescriptor: socket.release(), closeOnDealloc: true)
        let command = [
            BuiltProgram.rdnet, "vm-switch", "--vsock-fd", "0", "--tap-mac-address",
            "52:54:00:00:00:77", "--resolv-conf", "", "--logfile",
            world.directory.file("second.log"),
        ]
        let program = try RunningProgram(command, in: second, stream: stream)
        // Only the program has the stream now.
        try stream.close()
        let hasAddress = try comesTrue {
            try second.run("ip", "-4", "address").contains("inet 192.168.127.3/24")
        }
        #expect(hasAddress, "\(world.logs)")
        #expect(
            try world.askAPI("/cam") == #"{"52:54:00:00:00:77":1,"5a:94:ef:e4:0c:ee":0}"# + "\n"
        )
        #expect(
            try world.askAPI("/links").contains(#""id":1,"name":"/connect","format":"extended""#)
        )
        // Pings the gateway, the host and the other guest.
        for address in [Guest.gateway, Guest.hostAlias, "192.168.127.2"] {
            try second.run("ping", "-c", "1", "-W", "5", address)
        }
        program.end()
        let isGone = try comesTrue {
            try world.askAPI("/cam") == #"{"5a:94:ef:e4:0c:ee":0}"# + "\n"
        }
        #expect(isGone)
    }

    @Test func `a tunnel carries both ways, ends by halves, and closes where nobody listens`()
        throws
    {
        let world = try Guest()
        try world.serveEcho(7, in: world.guest)
        let client = StreamClient(try connect(world))
        let payload = String(repeating: "0123456789abcdef", count: 8_192)
        let head = "POST /tunnel?ip=192.168.127.2&port=7 HTTP/1.1\r\nHost: a\r\n\r\n"
        var rest = (head + payload).unicodeScalars[...]
        var received = ""
        let isWhole = try comesTrue {
            rest = rest.dropFirst(try client.send(String(rest.prefix(65_536))))
            received += client.receive().text
            return received.utf8.count == payload.utf8.count + 2
        }
        #expect(isWhole && received == "OK" + payload)
        let flows = try world.askAPI("/flows")
        #expect(flows.contains(#""guest":"192.168.127.2:7","remote":"192.168.127.1:"#))
        #expect(flows.contains(#""phase":"open","bytesToHost":131072,"bytesToGuest":131072"#))
        client.endSending()
        let hasEnded = comesTrue { client.receive().ended }
        #expect(hasEnded)

        let refused = StreamClient(try connect(world))
        try refused.send("GET /tunnel?ip=192.168.127.2&port=9 HTTP/1.1\r\nHost: a\r\n\r\n")
        var ended = false
        let isOver = comesTrue {
            let (text, end) = refused.receive()
            received = text.isEmpty ? received : text
            ended = end
            return ended
        }
        #expect(isOver && received == "OK")
    }

    @Test func `a unix socket of the host leads to a guest's port, and goes with the forward`()
        throws
    {
        let folder = TemporaryDirectory()
        let world = try Guest(hostOptions: ["--api-path", folder.path])
        try world.serveEcho(7, in: world.guest)
        let path = folder.file("echo.sock")
        for local in [path, "unix://" + path] {
            let body = #"{"local":"\#(local)","remote":"tcp://192.168.127.2:7","protocol":"unix"}"#
            #expect(try world.askAPI("/services/forwarder/expose", body: body).isEmpty)
            #expect(try world.askAPI("/services/forwarder/all").contains(#""local":"\#(local)""#))
            var status = stat()
            #expect(lstat(path, &status) == 0)
            #expect(status.st_mode & 0o777 == 0o600)
            let address = try #require(SocketAddress(path: path))
            let socket = try Socket.makeUnix()
            let isConnected = try Socket.connect(socket, to: address)
            #expect(isConnected)
            let client = StreamClient(socket)
            try client.send("through")
            #expect(text(of: client) { $0.utf8.count >= 7 } == "through")
            try world.askAPI("/services/forwarder/unexpose", body: body)
            #expect(lstat(path, &status) == -1)
        }
    }

    @Test func `a guest may ask for forwards and for nothing else`() throws {
        let world = try Guest()
        let ask = { (path: String, arguments: [String]) in
            try run(
                ["ip", "netns", "exec", world.guest.name, "curl", "-sS", "-m", "10"] + arguments
                    + ["http://\(Guest.gateway)\(path)"]
            )
        }
        // Without a host, the remote is the guest itself.
        let body = #"{"local":"127.0.0.1:8080","remote":":7"}"#
        #expect(try ask("/services/forwarder/expose", ["-d", body]).isEmpty)
        let expected =
            #"[{"local":"127.0.0.1:8080","remote":"192.168.127.2:7","protocol":"tcp"}]"# + "\n"
        #expect(try ask("/services/forwarder/all", []) == expected)
        for path in ["/connect", "/tunnel?ip=192.168.127.2&port=7", "/services/dns/all", "/stats"] {
            #expect(try ask(path, ["-X", "POST"]) == "404 page not found\n")
        }
    }

    @Test func `a zone that is added is answered, with its expressions`() throws {
        let world = try Guest()
        let body =
            #"{"Name":"crc.testing.","Records":[{"Regexp":"^crc-(.*?)-master-0$","IP":"192.168.126.11"}]}"#
        try world.askAPI("/services/dns/add", body: body)
        for name in ["crc-4fj2-master-0.crc.testing", "CRC-x-MASTER-0.crc.testing"] {
            let answer = try world.guest.run("dig", "+short", "@\(Guest.gateway)", name)
            #expect(answer == "192.168.126.11\n")
        }
        let other = try world.guest.run("dig", "@\(Guest.gateway)", "master-0.crc.testing")
        #expect(other.contains("status: NXDOMAIN"))
    }

    @Test func `the capture is switched while frames go by`() throws {
        let world = try Guest(hostOptions: ["--capture", "/dev/null"])
        #expect(try world.askAPI("/capture").hasPrefix(#"{"on":true,"file":"/dev/null","frames":"#))
        try world.askAPI("/capture/off", body: "")
        #expect(
            try world.askAPI("/capture").hasPrefix(#"{"on":false,"file":"/dev/null","frames":"#)
        )
        try world.guest.run("ping", "-c", "1", "-W", "5", Guest.gateway)
        try world.askAPI("/capture/on", body: "")
        try world.guest.run("ping", "-c", "1", "-W", "5", Guest.gateway)
        #expect(try world.askAPI("/capture").contains(#""on":true"#))
    }

    @Test func `it listens on vsock as anywhere else: a port that is taken is refused`() throws {
        let directory = TemporaryDirectory()
        // The port belongs to this machine's contexts, so another process may use it.
        let port = UInt32.random(in: 50_000...4_000_000_000)
        let start = { (name: String) in
            try RunningProgram(
                [
                    BuiltProgram.rdnet, "host-switch", "--api", "vsock://:\(port)", "--link",
                    "unix://" + directory.file(name),
                ],
                output: URL(fileURLWithPath: directory.file(name + ".log"))
            )
        }
        let first = try start("first")
        // The API opens before the links.
        let listens = comesTrue { access(directory.file("first"), F_OK) == 0 }
        #expect(listens && first.isRunning)
        let second = try start("second")
        #expect(comesTrue { !second.isRunning } && second.status == 1)
        let text = try String(contentsOfFile: directory.file("second.log"), encoding: .utf8)
        let sentence = "api vsock://:\(port): bind vsock://:\(port): Address already in use\n"
        #expect(text.hasSuffix("rdnet host-switch: " + sentence), "\(text)")
    }
}
