import CLinux
import Foundation
import Glibc
import Testing

@testable import RDNetKit

/// The service's UDP and TCP sockets on loopback, as guests reach them at the gateway.
private final class LoopbackDoors: ReadinessObserver, DatagramSender {
    private let fixture: DNSFixture
    private let datagrams: OwnedDescriptor
    private let listener: OwnedDescriptor
    private var watches: [EventLoop.Watch] = []
    let endpoint: Endpoint

    init(_ fixture: DNSFixture) throws {
        self.fixture = fixture
        let ports = try LoopbackPorts()
        endpoint = ports.endpoint
        datagrams = try ports.datagrams.duplicate()
        listener = try ports.streams.duplicate()
        try Socket.listen(listener)
        fixture.service.sender = self
        for number in [datagrams.number, listener.number] {
            watches.append(try fixture.loop.watch(number, for: .readable, observer: self))
        }
    }

    func close() {
        for watch in watches { fixture.loop.forget(watch) }
    }

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        let buffer = ReceiveBuffer()
        do {
            while let (count, sender) = try Socket.receiveDatagram(datagrams, into: buffer.memory) {
                let datagram = ServiceDatagram(
                    source: try #require(sender.endpoint),
                    destination: endpoint,
                    sourceMAC: .broadcast,
                    payload: buffer.prefix(count)
                )
                fixture.service.receive(datagram, now: now)
            }
            while true {
                let number = accept(listener.number, nil, nil)
                guard number >= 0 else { return }
                _ = fcntl(number, F_SETFL, O_NONBLOCK)
                fixture.service.accept(OwnedDescriptor(adopting: number), from: nil)
            }
        } catch {
            Issue.record("loopback: \(error)")
        }
    }

    func send(_ payload: [UInt8], from source: Endpoint, to destination: Endpoint) {
        let number = datagrams.number
        let count = SocketAddress(destination).withPointer {
            sendto(number, payload, payload.count, 0, $0, $1)
        }
        #expect(count == payload.count)
    }
}

@Suite("dig")
struct DNSDigTests {
    private static let dig = "/usr/bin/dig"

    private static func run(_ fixture: DNSFixture, _ arguments: [String]) throws -> String {
        let doors = try LoopbackDoors(fixture)
        defer { doors.close() }
        let process = Process()
        let output = Pipe()
        process.executableURL = URL(fileURLWithPath: dig)
        process.arguments =
            ["@127.0.0.1", "-p", String(doors.endpoint.port), "+tries=1", "+time=5"] + arguments
        process.standardOutput = output
        try process.start()
        let limit = ContinuousClock.now + hangGuard
        while process.isRunning, ContinuousClock.now < limit {
            try fixture.loop.turn(waitingAtMost: .milliseconds(5))
        }
        if process.isRunning { process.terminate() }
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
        let data = try output.fileHandleForReading.readToEnd() ?? Data()
        return String(decoding: data, as: UTF8.self)
    }

    @Test(
        "reads the answers",
        .enabled(
            if: FileManager.default.isExecutableFile(atPath: dig),
            "needs dig (bind9-dnsutils)"
        ),
        arguments: [
            (["+short", "GATEWAY.docker.internal"], ["192.168.127.1"]),
            (["+short", "+tcp", "host.rancher-desktop.internal"], ["192.168.127.254"]),
            (
                ["host.docker.internal", "AAAA"],
                ["status: NOERROR", "ANSWER: 0", "SOA", "EDNS: version: 0"]
            ),
            (["nobody.docker.internal"], ["status: NXDOMAIN", "docker.internal.\t0\tIN\tSOA"]),
            (["+short", "-x", "192.0.2.7"], ["db.example."]),
            (["+short", "-x", "192.168.127.1"], ["gateway.rancher-desktop.internal."]),
            (
                ["-x", "192.168.127.9"],
                ["status: NXDOMAIN", "127.168.192.in-addr.arpa. 0\tIN\tSOA"]
            ),
            (
                ["+ednsopt=10", "+dnssec", "up.example", "TXT"],
                ["status: NOERROR", "\"forwarded\""]
            ),
            (["+notcp", "+ignore", "+noedns", "big.example", "TXT"], ["flags: qr tc rd"]),
            (["+noedns", "big.example", "TXT"], ["ANSWER: 4"]),
            (["+opcode=notify", "a.example"], ["status: NOTIMP"]),
        ] as [([String], [String])]
    )
    func readsTheAnswers(arguments: [String], expected: [String]) throws {
        let fixture = try DNSFixture(hosts: "192.0.2.7 db.example\n")
        fixture.upstreams[0].answer = { query in
            let isBig = query.message.starts(with: DNSOctets.name("big.example"), by: ==)
            return [Self.text(query.message, copies: isBig ? 4 : 1)]
        }
        let output = try Self.run(fixture, arguments)
        for text in expected { #expect(output.contains(text), "\(output)") }
    }

    /// Returns "forwarded" in TXT records; several copies have about 200 bytes each.
    private static func text(_ query: [UInt8], copies: UInt8) -> [UInt8] {
        let word = "forwarded" + String(repeating: "!", count: copies > 1 ? 190 : 0)
        let value = [UInt8(word.utf8.count)] + Array(word.utf8)
        let record: [UInt8] =
            [0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 60, 0, UInt8(value.count)] + value
        var offset = 12
        while query[offset] != 0 { offset += 1 + Int(query[offset]) }
        var answer = DNSOctets.answer(Array(query[..<(offset + 5)]))
        (answer[7], answer[11]) = (copies, 0)
        for _ in 0..<copies { answer += record }
        return answer
    }
}

extension [UInt8] {
    /// Whether the name after the header equals this one.
    fileprivate func starts(with name: [UInt8], by equal: (UInt8, UInt8) -> Bool) -> Bool {
        dropFirst(12).starts(with: name, by: equal)
    }
}
