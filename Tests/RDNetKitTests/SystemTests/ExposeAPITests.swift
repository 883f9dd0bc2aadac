import Foundation
import Testing

@testable import RDNetKit

/// VPNKit's HTTP API, as its clients see it.
@Suite(
    "VPNKit's API",
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct ExposeAPITests {
    private let tcp =
        #"{"proto":"tcp","out_ip":"127.0.0.1","out_port":8080,"in_ip":"127.0.0.1","in_port":9000}"#

    @Test func `ports are exposed and closed any number of times, and listed`() throws {
        let pair = try ForwarderPair()
        try pair.startHost()
        #expect(try pair.request("GET", "list") == "null\n200")
        for _ in 0..<2 { #expect(try pair.request("PUT", "expose/port", tcp) == "200") }
        #expect(try pair.request("GET", "list") == "[\(tcp)]\n200")
        for _ in 0..<2 { #expect(try pair.request("DELETE", "unexpose/port", tcp) == "200") }
        #expect(try pair.request("GET", "list") == "null\n200")
        #expect(try pair.shell("ss -Hlt").isEmpty)
    }

    @Test func `the annotation is part of a port's identity`() throws {
        let pair = try ForwarderPair()
        try pair.startHost()
        let annotated = tcp.dropLast() + #","annotation":"a"}"#
        #expect(try pair.request("POST", "expose/port", String(annotated)) == "200")
        #expect(try pair.request("POST", "unexpose/port", tcp) == "200")
        #expect(try pair.request("GET", "list") == "[\(annotated)]\n200")
        #expect(
            try pair.request("PUT", "expose/port", tcp)
                == #"{"message":"listen tcp 127.0.0.1:8080: bind: address already in use"}"#
                + "\n400"
        )
        #expect(try pair.request("POST", "unexpose/port", String(annotated)) == "200")
        #expect(try pair.request("GET", "list") == "null\n200")
    }

    @Test func `port 0 gets a number, with which it is listed and closed`() throws {
        let pair = try ForwarderPair()
        try pair.startHost()
        let body = #"{"proto":"udp","out_ip":"127.0.0.1","in_ip":"127.0.0.1","in_port":53}"#
        #expect(try pair.request("PUT", "expose/port", body) == "200")
        let list = try pair.request("GET", "list")
        let number = try #require(list.split(separator: ",").first { $0.contains("out_port") })
        #expect(try pair.shell("ss -Hlun").contains("127.0.0.1:\(number.split(separator: ":")[1])"))
        let port = String(list.dropFirst().dropLast(5))
        #expect(try pair.request("DELETE", "unexpose/port", port) == "200")
        #expect(try pair.request("GET", "list") == "null\n200")
    }

    @Test(
        "a bad request is refused in VPNKit's words",
        arguments: [
            (
                "PUT", "expose/port", #"{"proto":"tcp","out_ip":"9.9.9.9","out_port":80}"#,
                #"{"message":"listen tcp 9.9.9.9:80: bind: cannot assign requested address"}"#, 400
            ),
            (
                "PUT", "expose/port", #"{"proto":"tcp","out_ip":"bogus"}"#,
                #"{"message":"invalid IP address: bogus"}"#, 400
            ),
            (
                "PUT", "expose/port", #"{"proto":"unix"}"#,
                #""exposed ports can only be TCP or UDP""#, 400
            ),
            ("PUT", "expose/port", "", #""exposed ports can only be TCP or UDP""#, 400),
            (
                "PUT", "expose/pipe", #"{"proto":"tcp"}"#,
                #""exposed pipes can only have proto=Unix""#, 400
            ),
            ("GET", "expose/port", "", #"{"message":"Method Not Allowed"}"#, 405),
            ("PUT", "list", "", #"{"message":"Method Not Allowed"}"#, 405),
            ("GET", "nothing", "", #"{"message":"Not Found"}"#, 404),
            (
                "PUT", "expose/pipe", #"{"proto":"unix","out_path":"@"}"#,
                #"{"message":"refusing to remove path @"}"#, 400
            ),
            (
                "PUT", "expose/pipe", #"{"proto":"unix","out_path":"a"}"#,
                #"{"message":"listen unix a: bind: expected an absolute path of at most 107 bytes"}"#,
                400
            ),
        ]
    )
    func refusal(
        method: String,
        path: String,
        body: String,
        answer: String,
        status: Int
    ) throws {
        let pair = try ForwarderPair()
        try pair.startHost()
        let expected = answer.replacingOccurrences(of: "@", with: pair.directory.path)
        #expect(try pair.request(method, path, body) == "\(expected)\n\(status)")
    }

    @Test func `a body of another type is not read`() throws {
        let pair = try ForwarderPair()
        try pair.startHost()
        #expect(
            try pair.request("PUT", "expose/port", tcp, type: "text/plain")
                == #"{"message":"Unsupported Media Type"}"# + "\n415"
        )
    }

    @Test func `a socket at the path is replaced, unless it is an exposed one`() throws {
        let pair = try ForwarderPair()
        try pair.startHost()
        try pair.shell(
            "perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Local => \"@/out\", Listen => 1)'"
        )
        let body = #"{"proto":"unix","out_path":"@/out","in_path":"/in"}"#
        #expect(try pair.request("PUT", "expose/pipe", body) == "200")
        let other = #"{"proto":"unix","out_path":"@/out","in_path":"/other"}"#
        #expect(
            try pair.request("PUT", "expose/pipe", other)
                .contains("/out: bind: address already in use")
        )
        #expect(try pair.shell("ss -Hlx").contains("/out"))
    }

    @Test func `only allowed addresses can be listened at`() throws {
        let pair = try ForwarderPair()
        try pair.startHost(["--allowed-bind-addresses", "127.0.0.1,::1"])
        #expect(try pair.request("PUT", "expose/port", tcp) == "200")
        for address in ["0.0.0.0", "127.0.0.2", "::", ""] {
            let body = #"{"proto":"tcp","out_ip":"\#(address)","out_port":8081}"#
            #expect(
                try pair.request("PUT", "expose/port", body)
                    .contains("the address is not in --allowed-bind-addresses")
            )
        }
    }
}
