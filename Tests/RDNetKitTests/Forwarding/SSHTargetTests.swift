import Testing

@testable import RDNetKit

@Suite("SSH target")
struct SSHTargetTests {
    private func target(_ url: String) throws -> SSHTarget {
        guard case .socket(let target) = try ForwardAddress.unixRemote(url) else {
            throw ProgramFailure(description: "\(url) is no SSH target")
        }
        return target
    }

    @Test(
        "is understood as gvproxy's URL",
        arguments: [
            (
                "ssh-tunnel://core@192.168.127.2:22/run/user/1000/podman.sock?key=/home/u/key",
                "core@192.168.127.2:22/run/user/1000/podman.sock", "/home/u/key"
            ),
            ("ssh-tunnel://root@192.168.127.3/a?key=k", "root@192.168.127.3:22/a", "k"),
            ("ssh-tunnel://root@192.168.127.3:2022/a?key=k", "root@192.168.127.3:2022/a", "k"),
            (
                "ssh-tunnel://a%40b:secret@192.168.127.2/x%20y?x=y&key=/a%26b+c&passphrase=",
                "a@b@192.168.127.2:22/x y", "/a&b c"
            ),
        ]
    )
    func url(text: String, description: String, identity: String) throws {
        let target = try target(text)
        #expect("\(target)" == description)
        #expect(target.identity == identity)
    }

    @Test(
        "a path keeps its meaning in ssh's option",
        arguments: [
            ("/run/podman.sock", "/s:/run/podman.sock"), ("/a b", "/s:/a b"),
            ("/a:b", #"/s:/a\:b"#), (#"/a\b"#, #"/s:/a\\b"#), ("/a%h", "/s:/a%%h"),
        ]
    )
    func escapedPath(path: String, option: String) throws {
        let target = try SSHTarget(
            user: "-oProxyCommand=x",
            server: Endpoint(address: IPAddress(ipv4: 0xc0a8_7f02), port: 22),
            path: path,
            identity: "/key"
        )
        let arguments = target.arguments(listeningAt: "/s", key: "/k")
        #expect(arguments.last == "192.168.127.2")
        // A user name never becomes a separate option.
        for (name, value) in [("-L", option), ("-l", "-oProxyCommand=x"), ("-i", "/k")] {
            let index = try #require(arguments.firstIndex(of: name))
            #expect(arguments[index + 1] == value)
        }
    }

    @Test func `ssh gets little of the environment, and a short folder`() {
        let long = "/" + String(repeating: "x", count: 100)
        let variables = [
            "PATH": "/bin", "HOME": "/root", "SECRET": "s", "SSH_AUTH_SOCK": "/a",
            "XDG_RUNTIME_DIR": "/run/user/0", "TMPDIR": long,
        ]
        let program = SSHProgram { variables[$0] }
        #expect(program.environment == ["HOME=/root", "PATH=/bin"])
        #expect(program.folders == ["/run/user/0", "/tmp"])
        #expect(SSHProgram { $0 == "TMPDIR" ? "/a:b" : nil }.folders == ["/tmp"])
        #expect(SSHProgram { $0 == "PATH" ? "/nowhere" : nil }.path == nil)
    }
}
