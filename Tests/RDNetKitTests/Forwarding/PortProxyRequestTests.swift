import Testing

@testable import RDNetKit

@Suite("requests to port-proxy's shared process")
struct PortProxyRequestTests {
    @Test(
        "a request is the transport and the container's endpoint",
        arguments: [
            ("tcp 172.17.0.2:80", ForwardProtocol.tcp, "172.17.0.2:80"),
            ("udp [fd00::2]:53", .udp, "[fd00::2]:53"),
        ]
    )
    func reads(text: String, transport: ForwardProtocol, container: String) throws {
        let request = try #require(PortProxyRequest(Array(text.utf8)))
        #expect(request.transport == transport)
        #expect("\(request.container)" == container)
        #expect(request.octets == Array(text.utf8))
    }

    @Test(
        "anything else is refused",
        arguments: [
            "", "tcp", "tcp ", " 172.17.0.2:80", "sctp 172.17.0.2:80", "unix 172.17.0.2:80",
            "tcp 172.17.0.2", "tcp name:80", "tcp 172.17.0.2:80 80", "\u{0}",
        ]
    )
    func refuses(text: String) {
        #expect(PortProxyRequest(Array(text.utf8)) == nil)
    }
}
