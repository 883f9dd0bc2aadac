import Foundation
import Glibc
import Testing

/// Ports that a real dockerd publishes through `port-proxy`.
@Suite(
    "dockerd publishes ports through port-proxy",
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct DockerTests {
    private static let page = "hello from the container\n"
    private static let server = "busybox httpd -f -p 80 -h /www"

    private func page(_ machine: DockerMachine, at address: String) throws -> String {
        try machine.host.run("curl", "-sS", "--max-time", "60", "http://\(address)/")
    }

    private func isOpen(_ machine: DockerMachine, _ address: String) -> Bool {
        succeeds { try page(machine, at: address) }
    }

    @Test func `a container's ports open, and close with whatever ends first`() throws {
        let machine = try DockerMachine()
        try machine.docker(
            "run",
            "-d",
            "--name",
            "web",
            "-p",
            "8080:80",
            "-p",
            "127.0.0.2:8081:80",
            "-p",
            "7000:7000/udp",
            "web",
            "/bin/busybox",
            "sh",
            "-c",
            "/load udp-echo 7000 & exec \(Self.server)"
        )
        // The server starts after its port is open, and a refusal resets the client.
        try #require(comesTrue(within: .seconds(60)) { isOpen(machine, "127.0.0.1:8080") })
        for address in ["127.0.0.1:8080", "127.0.0.2:8081", "[::1]:8080"] {
            #expect(try page(machine, at: address) == Self.page)
        }
        #expect(!isOpen(machine, "127.0.0.1:8081"))
        // The echo server starts next to the web server, perhaps after it.
        let question =
            "exec 3<>/dev/udp/127.0.0.1/7000; printf datagram >&3; timeout 1 head -c 8 <&3"
        #expect(
            comesTrue {
                let answer = try? machine.host.run("bash", "-c", question)
                return answer == "datagram"
            }
        )

        // The shared process is killed: the stubs start another one, and clients wait meanwhile.
        let shared = try #require(
            try machine.proxies().first { $0.command.contains("--serve") }
        )
        kill(shared.process, SIGKILL)
        #expect(try page(machine, at: "127.0.0.1:8080") == Self.page)

        // One stub is killed: its port closes, and no other.
        let stub = try #require(
            try machine.proxies().first { $0.command.contains("-host-port 8081") }
        )
        kill(stub.process, SIGKILL)
        #expect(comesTrue { !isOpen(machine, "127.0.0.2:8081") })
        #expect(try page(machine, at: "127.0.0.1:8080") == Self.page)

        // The container is removed: nothing is left.
        try machine.docker("rm", "-f", "web")
        #expect(!isOpen(machine, "127.0.0.1:8080"))
        #expect(try comesTrue { try machine.proxies().isEmpty })
    }

    @Test func `in a VM, the host has the container's port as long as the container`() throws {
        let scene = try SwitchedGuest()
        let machine = try DockerMachine(in: scene.guest, api: "tcp://192.168.127.1:80")
        func isOpenOnHost(_ address: String) -> Bool {
            succeeds {
                try scene.host.run("curl", "-sSf", "--max-time", "60", "http://\(address)/")
            }
        }
        let command = ["web", "/bin/busybox", "httpd", "-f", "-p", "80", "-h", "/www"]
        func start(_ name: String, _ port: String) throws {
            let words = ["run", "-d", "--name", name, "-p", port] + command
            try machine.docker(words)
        }
        try start("web", "8080:80")
        try start("local", "127.0.0.2:8081:80")
        for address in ["127.0.0.1:8080", "[::1]:8080", "127.0.0.2:8081"] {
            #expect(comesTrue { isOpenOnHost(address) }, "\(address): \(scene.logs)")
        }
        #expect(!isOpenOnHost("127.0.0.1:8081"))
        #expect(isOpen(machine, "127.0.0.1:8080"))

        let occupant = try RunningProgram(["nc", "-l", "-k", "0.0.0.0", "8090"], in: scene.host)
        defer { occupant.end(with: SIGKILL) }
        try #require(
            try comesTrue { try scene.host.run("ss", "-Hltn").contains("0.0.0.0:8090") }
        )
        do {
            try start("taken", "8090:80")
            Issue.record("the port was published twice")
        } catch {
            #expect("\(error)".contains("address already in use"), "\(error)")
        }

        // The host end is killed, and another one takes its place.
        scene.hostSwitch?.end(with: SIGKILL)
        #expect(!isOpenOnHost("127.0.0.1:8080"))
        try scene.startHostSwitch()
        // Each port has a stub of its own, so they come back one by one.
        for address in ["127.0.0.1:8080", "[::1]:8080", "127.0.0.2:8081"] {
            #expect(comesTrue { isOpenOnHost(address) }, "\(address): \(scene.logs)")
        }

        try machine.docker("rm", "-f", "web")
        #expect(comesTrue { !isOpenOnHost("127.0.0.1:8080") })
        #expect(isOpenOnHost("127.0.0.2:8081"))
    }

    @Test func `with wsl-proxy, the port is also open in its namespace, as long as the container`()
        throws
    {
        let world = try ProxiedNamespaces()
        let machine = try DockerMachine(in: world.guest, api: "unix://\(world.socket)")
        func start(_ name: String, _ port: String) throws {
            let command = ["web", "/bin/busybox", "httpd", "-f", "-p", "80", "-h", "/www"]
            try machine.docker(["run", "-d", "--name", name, "-p", port] + command)
        }
        func isOpenOutside(_ address: String) -> Bool {
            succeeds {
                try world.host.run("curl", "-sSf", "--max-time", "60", "http://\(address)/")
            }
        }
        func refusal(_ name: String, _ port: String) -> String {
            do {
                try start(name, port)
                return "published"
            } catch {
                return "\(error)"
            }
        }
        try start("web", "8080:80")
        for address in ["127.0.0.1:8080", "[::1]:8080"] {
            #expect(comesTrue { isOpenOutside(address) }, "\(address): \(world.log)")
        }
        let occupant = try RunningProgram(["nc", "-l", "-k", "0.0.0.0", "8090"], in: world.host)
        defer { occupant.end(with: SIGKILL) }
        try #require(try comesTrue { try !world.listeners(8090).isEmpty })
        #expect(refusal("taken", "8090:80").contains("address already in use"))
        #expect(
            refusal("local", "127.0.0.2:8081:80").contains(
                "wsl-proxy leads to 192.168.143.1 and cannot reach 127.0.0.2:8081"
            )
        )

        // The agents' messages still work, and do not close a port that a stub holds.
        try world.publish(9999, "127.0.0.1")
        try world.say("remove", 8080)
        try world.say("remove", 9999, "127.0.0.1")
        try #require(try comesTrue { try world.listeners(9999).isEmpty })
        #expect(isOpenOutside("127.0.0.1:8080"))

        // wsl-proxy is killed, and another one takes its place.
        world.proxy?.end(with: SIGKILL)
        #expect(!isOpenOutside("127.0.0.1:8080"))
        try world.start()
        #expect(comesTrue { isOpenOutside("127.0.0.1:8080") }, "\(world.log)")

        try machine.docker("rm", "-f", "web")
        #expect(try comesTrue { try world.listeners(8080).isEmpty })
    }

    @Test func `docker's user reads why a port cannot open, and a killed dockerd leaves none`()
        throws
    {
        let machine = try DockerMachine()
        let occupant = try RunningProgram(["nc", "-l", "-k", "0.0.0.0", "8090"], in: machine.host)
        try #require(
            try comesTrue { try machine.host.run("ss", "-Hltn").contains("0.0.0.0:8090") }
        )
        do {
            try machine.docker("run", "-d", "-p", "8090:80", "web", "/bin/busybox", "sleep", "9")
            Issue.record("the port was published twice")
        } catch {
            let reason = "listen tcp 0.0.0.0:8090: bind: address already in use"
            #expect("\(error)".contains(reason), "\(error)")
        }
        occupant.end(with: SIGKILL)
        #expect(try comesTrue { try machine.proxies().isEmpty })

        try machine.docker(
            "run",
            "-d",
            "-p",
            "8080:80",
            "web",
            "/bin/busybox",
            "sh",
            "-c",
            "exec \(Self.server)"
        )
        try #require(comesTrue(within: .seconds(60)) { isOpen(machine, "127.0.0.1:8080") })
        try machine.killDaemon()
        #expect(try comesTrue { try machine.proxies().isEmpty })
        #expect(!isOpen(machine, "127.0.0.1:8080"))
    }
}
