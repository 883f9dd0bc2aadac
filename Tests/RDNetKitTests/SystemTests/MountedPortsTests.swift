import Foundation
import Testing

@testable import RDNetKit

/// Linux's own 9P client, in a guest with its own kernel, opens ports of the host.
@Suite(
    "GuestMachine: a guest mounts the control file system",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct MountedPortsGuestMachineTests {
    private static let port = "tcp:127.0.0.1:8080:tcp:172.17.0.2:80"
    private static let mount =
        "mount -t 9p -o trans=tcp,port=564,version=9p2000 192.168.127.1 /port"

    private let network: GuestNetwork
    private let guest: GuestMachine

    init() throws {
        network = try GuestNetwork(
            modules: ["9p", "9pnet_fd"],
            isUserMode: true,
            files: try GuestImage.program("bash"),
            role: GuestHost(
                line: """
                    host-switch --link bess+unix:///tmp/bess.sock \
                    --port-fs tcp://192.168.127.1:564 --port-fs unix:///tmp/port.sock
                    """,
                sockets: ["bess.sock", "port.sock"]
            )
        )
        guest = try network.startPacketGuest(mac: .standardGuest)
        try guest.join("vec0")
        // The container: an address that only the guest knows, with a web server.
        try guest.run("ip address add 172.17.0.2/32 dev lo")
        try guest.run(
            "mkdir /www /port; echo hello >/www/index.html; httpd -p 172.17.0.2:80 -h /www"
        )
        try guest.run(Self.mount)
    }

    /// Starts a process that requests a port and keeps its file open; its number is in a file.
    private func hold(_ request: String, as name: String? = nil) throws {
        let directory = "/port/\(name ?? request)"
        try guest.run(
            """
            mkdir \(directory); (exec 7<>\(directory)/ctl; printf %s \(request) >&7; \
            echo written >/tmp/holder; exec sleep 10000) & echo $! >/tmp/pid; \
            until [ -s /tmp/holder ]; do sleep 0.1; done; rm /tmp/holder
            """
        )
    }

    private func status(of name: String = port) throws -> String {
        try guest.run("cat /port/\(name)/ctl")
    }

    private func names() throws -> [String] {
        try guest.run("ls -1a /port").split(separator: "\n").map { String($0) }
    }

    private func fetch(_ address: String = "127.0.0.1:8080") -> String? {
        do {
            return try network.host.run("curl", "-sSf", "-m", "60", "http://\(address)")
        } catch {
            return nil
        }
    }

    @Test func `a port is open while the process holds its file, whoever else reads it`() throws {
        #expect(try names() == [".", "..", "README"])
        #expect(try guest.run("cat /port/README").contains("/port/web/ctl"))
        try guest.run("mkdir /port/\(Self.port)")
        #expect(try status() == "ERROR no request received. Please read the README.\n")
        try guest.run("rmdir /port/\(Self.port)")

        try hold(Self.port)
        #expect(try status() == "OK \(Self.port)\n")
        #expect(fetch() == "hello\n")
        #expect(fetch("[::1]:8080") == "hello\n")
        #expect(try names().contains(Self.port))
        #expect(try status() == "OK \(Self.port)\n")
        #expect(fetch() == "hello\n")

        try guest.run("kill -9 $(cat /tmp/pid)")
        #expect(comesTrue { fetch() == nil })
        #expect(try comesTrue { try !names().contains(Self.port) })
        #expect(comesTrue { fetch("[::1]:8080") == nil })
    }

    @Test func `removing the file closes the port; a port in use says so; umount closes all`()
        throws
    {
        try hold(Self.port)
        #expect(fetch() == "hello\n")
        try hold(Self.port, as: "again")
        #expect(
            try status(of: "again")
                == "ERROR Bind for 127.0.0.1:8080 failed: port is already allocated\n"
        )
        // A guest names no file of the host: /a and /b.
        try hold("unix:L2E=:unix:L2I=", as: "socket")
        let reason = "permission denied: guests can publish TCP and UDP ports only"
        #expect(try status(of: "socket") == "ERROR \(reason)\n")
        try guest.run("rm /port/again/ctl /port/socket/ctl; rmdir /port/\(Self.port)")
        #expect(try names() == [".", "..", "README"])
        #expect(fetch() == nil)

        try hold("tcp:127.0.0.1:0:tcp:172.17.0.2:80", as: "any")
        let chosen = try status(of: "any").split(separator: ":")
        let number = try #require(chosen.count == 6 ? Int(chosen[2]) : nil)
        #expect(fetch("127.0.0.1:\(number)") == "hello\n")
        try guest.run("kill -9 $(cat /tmp/pid); umount -l /port")
        #expect(comesTrue { fetch("127.0.0.1:\(number)") == nil })
    }

    @Test func `a shell's redirection, another dialect and a mount by descriptor work`() throws {
        try guest.run(
            "umount /port; \(Self.mount.replacingOccurrences(of: "2000 ", with: "2000.u "))"
        )
        try hold(Self.port)
        #expect(fetch() == "hello\n")
        // A shell truncates the file before it writes, and closes it at once.
        try guest.run("mkdir /port/short; echo \(Self.port) >/port/short/ctl")
        #expect(fetch() == "hello\n")
        #expect(try names() == [".", "..", "README", Self.port])
        try guest.run("kill -9 $(cat /tmp/pid); umount -l /port")

        try guest.run(
            "bash -c 'exec 5<>/dev/tcp/192.168.127.1/564; "
                + "mount -t 9p -o trans=fd,rfdno=5,wfdno=5 port /port'"
        )
        try hold(Self.port)
        #expect(fetch() == "hello\n")
    }

    @Test func `the end of the server ends the ports; a new mount works`() throws {
        let words = ["port-fs", "--listen", "tcp://127.0.0.1:5640"]
        let mount = Self.mount.replacingOccurrences(of: "564", with: "5640")
            .replacingOccurrences(of: "127.1 ", with: "127.254 ")
        let web = "tcp:127.0.0.2:8080:tcp:127.0.0.1:80"
        try guest.run("umount -l /port")
        for _ in 0..<2 {
            let server = try RunningProgram([BuiltProgram.rdnet] + words, in: network.host)
            try #require(comesTrue { try network.host.run("ss", "-Hltn").contains(":5640 ") })
            try guest.run(mount)
            #expect(try names() == [".", "..", "README"])
            try hold(web, as: "web")
            #expect(fetch("127.0.0.2:8080/file") != nil)
            server.end(with: SIGKILL)
            #expect(fetch("127.0.0.2:8080/file") == nil)
            try guest.run("kill -9 $(cat /tmp/pid); umount -l /port")
        }
    }
}
