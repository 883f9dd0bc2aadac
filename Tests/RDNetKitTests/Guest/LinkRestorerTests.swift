import Foundation
import Testing

@testable import RDNetKit

@Suite(
    "the guest's interface configuration",
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct LinkRestorerTests {
    private let link: RestoredLink

    init() throws {
        link = try RestoredLink()
    }

    @Test(
        "comes back after its loss",
        arguments: [
            "link set eth0 down; ip link set eth0 up", "route del default via 192.168.127.1",
            "address del 192.168.127.2/24 dev eth0", "address flush dev eth0",
            "route flush dev eth0", "route del 192.168.127.0/24",
        ]
    )
    func comesBack(command: String) throws {
        #expect(try link.isWhole)
        #expect(link.log.isEmpty)
        for round in 1...3 {
            try link.ip(command)
            #expect(try !link.isWhole)
            try link.settle()
            #expect(try link.isWhole, "round \(round): \(link.log)")
        }
        #expect(link.log.contains("eth0: configuration was removed; restored it"))
    }

    @Test func `stays down as long as somebody wants it down`() throws {
        try link.ip("link set eth0 down")
        for _ in 0..<3 { try link.settle() }
        #expect(try link.namespace.run("ip", "link", "show", "eth0").contains("state DOWN"))
        #expect(link.log.isEmpty)
    }

    @Test(
        "stays as another program has set it, also when the lease is renewed",
        arguments: [
            "address flush dev eth0; ip address add 192.168.127.9/24 dev eth0",
            "address flush dev eth0; ip address add 192.168.127.2/25 dev eth0",
            "route replace default via 192.168.127.8 dev eth0",
            "route del default via 192.168.127.1; ip route add default via 10.9.0.9 dev eth1",
            "route del default via 192.168.127.1; ip route add unreachable default",
        ]
    )
    func yields(command: String) throws {
        try link.ip(command)
        let (addresses, routes) = (try link.addresses, try link.routes)
        for _ in 0..<3 {
            try link.settle()
            try link.renew()
        }
        #expect(try link.addresses == addresses)
        #expect(try link.routes == routes)
        #expect(link.lines == 1, "\(link.log)")
        #expect(link.log.contains("eth0: another program configured it; leaving it alone"))
    }

    @Test func `an additional address outlives a renewal`() throws {
        try link.ip("address add 192.168.127.9/24 dev eth0")
        try link.settle()
        try link.renew()
        #expect(try link.addresses.contains("192.168.127.9/24"))
        #expect(try link.isWhole)
        #expect(link.log.isEmpty)
    }

    @Test func `a program that removes it again and again meets about one restoration a minute`()
        throws
    {
        var restorations = 0
        for _ in 0..<90 {
            if try link.isWhole {
                restorations += 1
                try link.ip("route del default via 192.168.127.1")
            }
            try link.settle(.seconds(10))
        }
        #expect((8...20).contains(restorations), "\(restorations)")
        #expect(link.lines == restorations || link.lines == restorations - 1)
        // After ten quiet minutes the next restoration is quick again.
        try link.settle()
        try link.settle(.seconds(601))
        try link.ip("route del default via 192.168.127.1")
        try link.settle(.seconds(1.5))
        #expect(try link.isWhole)
    }

    @Test func `a transient change of another program is no loss`() throws {
        try link.ip("address flush dev eth0")
        try link.settle(.milliseconds(100))
        try link.ip("address add 192.168.127.2/24 dev eth0")
        try link.ip("route add default via 192.168.127.1 dev eth0")
        try link.settle()
        #expect(link.log.isEmpty)
    }
}
