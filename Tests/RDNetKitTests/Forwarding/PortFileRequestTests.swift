import Testing

@testable import RDNetKit

@Suite("requests of the control file system")
struct PortFileRequestTests {
    private func failure(_ text: String) -> String? {
        do {
            _ = try PortFileRequest(text)
            return nil
        } catch {
            return error.text
        }
    }

    @Test(
        "transports, addresses of both families, the end of a line",
        arguments: [
            ("tcp:0.0.0.0:8080:tcp:172.17.0.2:80", "tcp:0.0.0.0:8080:tcp:172.17.0.2:80"),
            ("UDP:127.0.0.1:0:udp:172.17.0.2:53\n", "udp:127.0.0.1:0:udp:172.17.0.2:53"),
            ("tcp:[::]:80:tcp:[fd00::2]:80 ", "tcp:[::]:80:tcp:[fd00::2]:80"),
            // /a and /b/c
            ("unix:L2E=:UNIX:L2IvYw==\n", "unix:L2E=:unix:L2IvYw=="),
            ("unix:L2E=:tcp:172.17.0.2:80", "unix:L2E=:tcp:172.17.0.2:80"),
        ]
    )
    func valid(text: String, meaning: String) throws {
        #expect("\(try PortFileRequest(text))" == meaning)
    }

    @Test(
        "what is wrong, in VPNKit's words",
        arguments: [
            ("", "Failed to parse request []"),
            ("tcp:1.2.3.4:80", "Failed to parse request [tcp:1.2.3.4:80]"),
            ("tcp:::tcp::", "port is not a proto:IP:port or unix:path: 'tcp::'"),
            ("sctp:1.2.3.4:80:sctp:1.2.3.4:80", "unknown protocol: should be tcp or udp"),
            ("tcp:1.2.3.4:80:udp:1.2.3.4:80", "unknown protocol: should be tcp or udp"),
            (
                "tcp:localhost:80:tcp:1.2.3.4:80",
                "port is not a proto:IP:port or unix:path: 'tcp:loc"
            ),
            (
                "tcp:1.2.3.4:65536:tcp:1.2.3.4:80",
                "port is not a proto:IP:port or unix:path: 'tcp:1."
            ),
            (
                "tcp:1.2.3.4:80:tcp:1.2.3.4:0",
                "port is not a proto:IP:port or unix:path: 'tcp:1.2.3."
            ),
            (
                "tcp:[1.2.3.4]:80:tcp:1.2.3.4:80",
                "port is not a proto:IP:port or unix:path: 'tcp:[1"
            ),
            ("unix:L2E=", "Failed to parse request [unix:L2E=]"),
            ("unix:L2E=:unix", "Failed to parse request [unix:L2E=:unix]"),
            ("unix:/a:unix:/b", "port is not a proto:IP:port or unix:path: 'unix:/a'"),
            // A relative path, and one with a NUL.
            ("unix:YQ==:unix:L2E=", "port is not a proto:IP:port or unix:path: 'unix:YQ=='"),
            ("unix:L2E=:unix:L2EA", "port is not a proto:IP:port or unix:path: 'unix:L2EA'"),
            ("unix:L/8=:unix:L2E=", "port is not a proto:IP:port or unix:path: 'unix:L/8='"),
            (
                "unix:L2E=:udp:1.2.3.4:1",
                "port is not a proto:IP:port or unix:path: 'udp:1.2.3.4:1'"
            ),
            (
                "unix:L2E=:tcp:1.2.3.4:0",
                "port is not a proto:IP:port or unix:path: 'tcp:1.2.3.4:0'"
            ),
            ("tcp:1.2.3.4:80:unix:L2E=", "Failed to parse request [tcp:1.2.3.4:80:unix:L2E=]"),
            ("tcp:::1:80:tcp:1.2.3.4:80", "Failed to parse request [tcp:::1:80"),
        ]
    )
    func invalid(text: String, start: String) {
        #expect(failure(text)?.hasPrefix(start) == true, "\(failure(text) ?? "accepted")")
    }

    @Test func `failures to bind have the texts of dockerd on Linux`() {
        let local = "127.0.0.1:80"
        #expect(
            PortFileError.allocated(place: local).text
                == "Bind for 127.0.0.1:80 failed: port is already allocated"
        )
        #expect(
            PortFileError.notLocal(.udp, place: local).text
                == "listen udp 127.0.0.1:80: bind: cannot assign requested address"
        )
        #expect(
            PortFileError.denied(place: local, reason: nil).text
                == "Bind for 127.0.0.1:80 failed: permission denied"
        )
        #expect(
            PortFileError.allocated(place: "/run/a").text
                == "Bind for /run/a failed: port is already allocated"
        )
        #expect(
            PortFileError.failed(place: local, reason: "x").text
                == "Bind for 127.0.0.1:80: unexpected error x"
        )
    }
}
