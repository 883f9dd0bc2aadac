import Testing

@testable import RDNetKit

/// Batches in which one read of a link finds frames of many flows.
@Suite("TCP from a guest, many flows in a batch")
struct TCPUploadBatchTests {
    private let guest: ScriptedGuest

    init() throws {
        guest = try ScriptedGuest()
    }

    private struct Upload {
        let tcp: ScriptedConnection
        let host: HostPeer
        var sent: [UInt8] = []
        private var random: SeededRandom

        init(_ guest: ScriptedGuest, seed: UInt64) throws {
            (tcp, host) = try guest.connect(to: HostListener())
            random = SeededRandom(seed: seed)
        }

        mutating func send(_ count: Int) {
            let octets = (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
            sent += octets
            tcp.send(.ack, octets)
        }

        /// Checks that everything has arrived, acknowledged by one ACK.
        func expectArrival(sourceLocation: SourceLocation = #_sourceLocation) throws {
            try tcp.expect(.ack, ack: 1 + sent.count, length: 0, sourceLocation: sourceLocation)
            try tcp.expectNothing(sourceLocation: sourceLocation)
            try tcp.guest.turn(
                until: {
                    host.read()
                    return host.received.count >= sent.count
                },
                "the host's octets"
            )
            expectBytes(host.received, equals: sent, sourceLocation: sourceLocation)
        }
    }

    private func uploads(_ count: Int) throws -> [Upload] {
        try (0..<count).map { try Upload(guest, seed: UInt64($0) + 1) }
    }

    @Test func `flows that take turns keep their order, and are acknowledged once each`() throws {
        var uploads = try uploads(3)
        guest.batch {
            for round in 1...20 {
                for index in uploads.indices { uploads[index].send(100 * round + index) }
            }
        }
        for upload in uploads { try upload.expectArrival() }
    }

    @Test func `a large segment goes behind its flow's small ones, whoever is in between`() throws {
        var uploads = try uploads(2)
        guest.batch {
            for count in [10, 20_000, 30, 17_000, 1] {
                uploads[0].send(count)
                uploads[1].send(7)
            }
        }
        for upload in uploads { try upload.expectArrival() }
    }

    /// More bytes, and more pieces, than the engine collects at once.
    @Test(
        "a batch of more than is kept together arrives",
        arguments: [(flows: 24, rounds: 4, octets: 15_000), (flows: 2, rounds: 1_500, octets: 1)]
    )
    func largeBatch(flows: Int, rounds: Int, octets: Int) throws {
        var uploads = try uploads(flows)
        guest.batch {
            for _ in 0..<rounds {
                for index in uploads.indices { uploads[index].send(octets) }
            }
        }
        for upload in uploads { try upload.expectArrival() }
    }

    @Test func `a flow that is reset in a batch leaves the others alone`() throws {
        var uploads = try uploads(3)
        guest.batch {
            for index in uploads.indices { uploads[index].send(50) }
            uploads[1].tcp.send(.rst)
            for index in [0, 2] { uploads[index].send(60) }
        }
        for index in [0, 2] { try uploads[index].expectArrival() }
        let host = uploads[1].host
        try guest.turn(
            until: {
                host.read()
                return host.failure != nil
            },
            "the reset"
        )
    }
}
