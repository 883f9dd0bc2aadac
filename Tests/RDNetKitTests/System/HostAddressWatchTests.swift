import Glibc
import Testing

@testable import RDNetKit

@Suite(
    "the machine's addresses",
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct HostAddressWatchTests {
    private let namespace: NetworkNamespace
    private let clock = HandMovedClock()
    private let loop: EventLoop

    init() throws {
        let clock = clock
        loop = try EventLoop { clock.now }
        namespace = try NetworkNamespace()
        try namespace.run("ip", "link", "set", "lo", "up")
        try namespace.run("ip", "link", "add", "one", "type", "veth", "peer", "name", "two")
        try namespace.run("ip", "link", "set", "one", "up")
        for address in ["10.8.0.2/24", "10.8.1.2/24", "fd00::2/64", "fe80::2/64"] {
            try namespace.run("ip", "address", "add", address, "dev", "one", "nodad")
        }
    }

    /// Removes addresses and returns what the watch reports after its patience.
    private func reports(_ change: () throws -> Void) throws -> [LostAddresses] {
        // The check of an address belongs into the namespace, too.
        try namespace.enter {
            var reports: [LostAddresses] = []
            let watch = try HostAddressWatch(loop: loop) { reports.append($0) }
            defer { watch.close() }
            try change()
            for _ in 0..<3 { try loop.turn(waitingAtMost: .zero) }
            #expect(reports.isEmpty)
            clock.advance(HostAddressWatch.patience * 2)
            for _ in 0..<3 { try loop.turn(waitingAtMost: .zero) }
            return reports
        }
    }

    private func remove(_ address: String) throws {
        try namespace.run("ip", "address", "del", address, "dev", "one")
    }

    @Test func `lost ones are reported together`() throws {
        let reports = try reports {
            try remove("10.8.0.2/24")
            try remove("fd00::2/64")
        }
        #expect(reports.map { "\($0)" } == ["10.8.0.2, fd00::2"])
    }

    @Test func `all of a deleted interface are lost`() throws {
        let reports = try reports { try namespace.run("ip", "link", "del", "one") }
        #expect(reports.map { "\($0)" } == ["10.8.0.2, 10.8.1.2, fd00::2"])
    }

    @Test func `one that comes back in time is not lost`() throws {
        let reports = try reports {
            try remove("10.8.0.2/24")
            try namespace.run("ip", "address", "add", "10.8.0.2/24", "dev", "one")
        }
        #expect(reports.isEmpty)
    }

    @Test func `a link-local one is nobody's loss, and a new one neither`() throws {
        let reports = try reports {
            try remove("fe80::2/64")
            try namespace.run("ip", "address", "add", "10.8.2.2/24", "dev", "one")
        }
        #expect(reports.isEmpty)
    }

    @Test func `a flood of changes loses none`() throws {
        let reports = try reports {
            // More notifications than the socket's buffer holds.
            let commands = (1...4_000).map { number in
                let address = "10.\(64 + number / 250).\(number % 250).1/32 dev one"
                return "address add \(address)\naddress del \(address)\n"
            }
            let directory = TemporaryDirectory()
            try AtomicFile.replace(directory.file("batch"), with: commands.joined())
            try namespace.run("ip", "-batch", directory.file("batch"))
            try remove("10.8.0.2/24")
        }
        #expect(reports.count == 1)
        let socket = try namespace.enter {
            try Socket.make(AF_INET, .datagram)
        }
        #expect(reports.first?.contain(localAddressOf: socket) == false)
    }
}
