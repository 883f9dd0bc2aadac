import CLinux
import Glibc
import Testing

@testable import RDNetKit

extension VhostTests {
    @Suite("link over vhost-user with a hostile other end")
    struct VhostHostileTests {
        private let scene: LinkScene
        private static let features: UInt64 = 1 << 32 | 1 << 30 | 1 << 28 | 1 << 15

        init() throws {
            scene = try LinkScene()
            try scene.listen(at: .vhost(scene.path))
        }

        private func connect() throws -> VhostFrontEnd {
            let guest = try VhostFrontEnd(at: scene.path)
            try guest.setUp(features: Self.features)
            try scene.turn()
            #expect(scene.recorder.closings.isEmpty)
            return guest
        }

        /// Expects that the link ended with a reason, and that the next guest is served.
        private func expectEnd(_ reason: String, count: Int = 1) throws {
            try scene.turn()
            #expect(scene.recorder.closings.count == count)
            let last = scene.recorder.closings.last ?? ""
            #expect(last.contains(reason), "\(last)")
            let next = try VhostFrontEnd(at: scene.path)
            try next.setUp(features: Self.features)
            next.describe(.sending, 0, VhostFrontEnd.descriptor(VhostFrontEnd.buffers, 72))
            next.offer(.sending, head: 0)
            next.kick(.sending)
            try scene.turn()
            #expect(scene.recorder.frames.count == 1)
        }

        // MARK: Rings

        /// What a guest puts into its ring, and why the link ends.
        struct Attack: CustomTestStringConvertible, Sendable {
            let testDescription: String
            let reason: String
            var ring = VhostFrontEnd.Ring.sending
            let descriptors: [[UInt8]]
            var head: UInt16 = 0

            private static let place = VhostFrontEnd.buffers
            private static let outside = VhostFrontEnd.size

            static let all = [
                Attack(
                    testDescription: "a chain that leads to itself",
                    reason: "no end",
                    descriptors: [VhostFrontEnd.descriptor(place, 16, flags: 1, next: 0)]
                ),
                Attack(
                    testDescription: "a chain of two that goes in circles",
                    reason: "no end",
                    descriptors: [
                        VhostFrontEnd.descriptor(place, 16, flags: 1, next: 1),
                        VhostFrontEnd.descriptor(place, 16, flags: 1, next: 0),
                    ]
                ),
                Attack(
                    testDescription: "a descriptor behind the table's end",
                    reason: "no descriptor 8",
                    descriptors: [VhostFrontEnd.descriptor(place, 16, flags: 1, next: 8)]
                ),
                Attack(
                    testDescription: "a head behind the table's end",
                    reason: "no descriptor 65535",
                    descriptors: [],
                    head: 0xffff
                ),
                Attack(
                    testDescription: "a buffer outside the memory",
                    reason: "outside the guest's memory",
                    descriptors: [VhostFrontEnd.descriptor(outside, 1)]
                ),
                Attack(
                    testDescription: "a buffer that ends outside the memory",
                    reason: "outside the guest's memory",
                    descriptors: [VhostFrontEnd.descriptor(outside - 16, 17)]
                ),
                Attack(
                    testDescription: "a buffer of 4 GiB",
                    reason: "outside the guest's memory",
                    descriptors: [VhostFrontEnd.descriptor(place, 0xffff_ffff)]
                ),
                Attack(
                    testDescription: "a buffer at the end of all addresses",
                    reason: "outside the guest's memory",
                    descriptors: [[UInt8](repeating: 0xff, count: 12) + [0, 0, 0, 0]]
                ),
                Attack(
                    testDescription: "a frame to write to",
                    reason: "wrong direction",
                    descriptors: [VhostFrontEnd.descriptor(place, 72, flags: 2)]
                ),
                Attack(
                    testDescription: "a buffer to read from",
                    reason: "wrong direction",
                    ring: .receiving,
                    descriptors: [VhostFrontEnd.descriptor(place, 2048)]
                ),
                Attack(
                    testDescription: "a buffer to write outside the memory",
                    reason: "outside the guest's memory",
                    ring: .receiving,
                    descriptors: [VhostFrontEnd.descriptor(outside - 1, 2048, flags: 2)]
                ),
                Attack(
                    testDescription: "empty buffers that go in circles",
                    reason: "no end",
                    ring: .receiving,
                    descriptors: [VhostFrontEnd.descriptor(place, 0, flags: 3, next: 0)]
                ),
                Attack(
                    testDescription: "a table of an odd size",
                    reason: "table",
                    descriptors: [VhostFrontEnd.descriptor(place, 17, flags: 4)]
                ),
                Attack(
                    testDescription: "an empty table",
                    reason: "table",
                    descriptors: [VhostFrontEnd.descriptor(place, 0, flags: 4)]
                ),
                Attack(
                    testDescription: "a table with a successor",
                    reason: "table",
                    descriptors: [VhostFrontEnd.descriptor(place, 16, flags: 5, next: 1)]
                ),
                Attack(
                    testDescription: "a table behind a buffer",
                    reason: "table",
                    descriptors: [
                        VhostFrontEnd.descriptor(place, 16, flags: 1, next: 1),
                        VhostFrontEnd.descriptor(place, 16, flags: 4),
                    ]
                ),
                Attack(
                    testDescription: "a table outside the memory",
                    reason: "outside the guest's memory",
                    descriptors: [VhostFrontEnd.descriptor(outside - 16, 32, flags: 4)]
                ),
                Attack(
                    testDescription: "a table at an odd address",
                    reason: "outside the guest's memory",
                    descriptors: [VhostFrontEnd.descriptor(place + 1, 32, flags: 4)]
                ),
            ]
        }

        @Test("a guest that breaks its ring ends its link only", arguments: Attack.all)
        func brokenRing(attack: Attack) throws {
            let guest = try connect()
            for (index, octets) in attack.descriptors.enumerated() {
                guest.describe(attack.ring, index, octets)
            }
            guest.offer(attack.ring, head: attack.head)
            if attack.ring == .sending {
                guest.kick(.sending)
            } else {
                #expect(scene.links[0].reserve(100, .bulk) == nil)
                scene.links[0].flush(now: scene.loop.now)
            }
            try expectEnd(attack.reason)
        }

        @Test func `a table that leads to itself`() throws {
            let guest = try connect()
            let place = VhostFrontEnd.buffers
            guest.describe(.sending, 0, VhostFrontEnd.descriptor(place, 16, flags: 4))
            guest.write(VhostFrontEnd.descriptor(place, 16, flags: 4), at: place)
            guest.offer(.sending, head: 0)
            guest.kick(.sending)
            try expectEnd("table")
        }

        @Test("an index that jumps", arguments: [UInt16(9), 0x8000, 0xffff])
        func indexJumps(index: UInt16) throws {
            let guest = try connect()
            guest.write16(index, at: VhostFrontEnd.place(.sending).available + 2)
            guest.kick(.sending)
            try expectEnd("jumped from 0 to \(index)")
        }

        @Test func `the same small buffers again and again are bounded`() throws {
            let guest = try connect()
            let link = scene.links[0]
            guest.describe(
                .receiving,
                0,
                VhostFrontEnd.descriptor(VhostFrontEnd.buffers, 1, flags: 2)
            )
            for _ in 0..<100 where !link.isClosed {
                for _ in 0..<8 { guest.offer(.receiving, head: 0) }
                _ = link.reserve(1514, .control)
                link.flush(now: scene.loop.now)
            }
            try expectEnd("too small")
        }

        @Test(
            "a frame that is too short or too long is counted",
            arguments: [0, 11, 12, 25, 65_562]
        )
        func malformed(length: Int) throws {
            let guest = try connect()
            let frame = VhostFrontEnd.descriptor(VhostFrontEnd.buffers, UInt32(length))
            guest.describe(.sending, 0, frame)
            guest.offer(.sending, head: 0)
            guest.kick(.sending)
            try scene.turn()
            #expect(scene.recorder.frames.isEmpty)
            #expect(scene.links[0].counters.malformed == 1)
            #expect(guest.usedIndex(.sending) == 1)
        }

        @Test func `a file that is cut while it is mapped`() throws {
            let guest = try connect()
            let frame = VhostFrontEnd.descriptor(VhostFrontEnd.size - 4096, 72)
            guest.describe(.sending, 0, frame)
            guest.offer(.sending, head: 0)
            guest.kick(.sending)
            try #require(
                ftruncate(guest.file, VhostFrontEnd.fileOffset + VhostFrontEnd.buffers) == 0
            )
            try scene.turn()
            // The frame was read as zeros.
            #expect(scene.recorder.frames.map(\.octets) == [[UInt8](repeating: 0, count: 60)])
            scene.recorder.frames = []
            try expectEnd("cut the file")
        }

        // MARK: Messages

        /// Bytes that a front end sends, and why the link ends.
        struct Message: CustomTestStringConvertible, Sendable {
            let testDescription: String
            let reason: String
            let octets: [UInt8]
            /// How many times the file of the memory comes along.
            var files = 0

            private static func message(_ request: UInt32, _ payload: [UInt8]) -> [UInt8] {
                VhostFrontEnd.word(request) + VhostFrontEnd.word(1)
                    + VhostFrontEnd.word(UInt32(payload.count)) + payload
            }

            private static func table(_ count: UInt32) -> [UInt8] {
                VhostFrontEnd.word(count) + VhostFrontEnd.table().dropFirst(4)
            }

            static let all = [
                Message(
                    testDescription: "another version",
                    reason: "no vhost-user message",
                    octets: VhostFrontEnd.word(1) + VhostFrontEnd.word(2) + VhostFrontEnd.word(0)
                ),
                Message(
                    testDescription: "a payload of 4 GiB",
                    reason: "no vhost-user message",
                    octets: VhostFrontEnd.word(1) + VhostFrontEnd.word(1)
                        + VhostFrontEnd.word(0xffff_ffff)
                ),
                Message(
                    testDescription: "HTTP",
                    reason: "no vhost-user",
                    octets: Array("GET / HTTP/1.1".utf8)
                ),
                Message(
                    testDescription: "features that are cut short",
                    reason: "message 2",
                    octets: message(2, [1, 0, 0])
                ),
                Message(
                    testDescription: "features that were not offered",
                    reason: "not offered: 0x400000000",
                    octets: message(2, VhostFrontEnd.long(1 << 34))
                ),
                Message(
                    testDescription: "nine memory regions",
                    reason: "message 5",
                    octets: message(5, table(9)),
                    files: 1
                ),
                Message(
                    testDescription: "more regions than the message has",
                    reason: "message 5",
                    octets: message(5, table(2)),
                    files: 2
                ),
                Message(
                    testDescription: "a region without its file",
                    reason: "without a descriptor",
                    octets: message(5, table(1))
                ),
                Message(
                    testDescription: "a region beyond the end of its file",
                    reason: "beyond the end",
                    octets: message(5, VhostFrontEnd.table(size: VhostFrontEnd.size + 1)),
                    files: 1
                ),
                Message(
                    testDescription: "a region whose end overflows",
                    reason: "beyond the end",
                    octets: message(5, VhostFrontEnd.table(offset: -4096)),
                    files: 1
                ),
                Message(
                    testDescription: "more descriptors than regions",
                    reason: "open",
                    octets: message(5, table(1)),
                    files: 9
                ),
                Message(
                    testDescription: "a third ring",
                    reason: "ring 2",
                    octets: message(8, VhostFrontEnd.word(2) + VhostFrontEnd.word(8))
                ),
                Message(
                    testDescription: "a ring of an odd size",
                    reason: "no power of two",
                    octets: message(8, VhostFrontEnd.word(0) + VhostFrontEnd.word(7))
                ),
                Message(
                    testDescription: "a ring of 65536 entries",
                    reason: "no power of two",
                    octets: message(8, VhostFrontEnd.word(0) + VhostFrontEnd.word(0x1_0000))
                ),
                Message(
                    testDescription: "a kick without its descriptor",
                    reason: "without its descriptor",
                    octets: message(12, VhostFrontEnd.long(0))
                ),
                Message(
                    testDescription: "a kick that is to be polled for",
                    reason: "polling",
                    octets: message(12, VhostFrontEnd.long(0x100))
                ),
                Message(
                    testDescription: "a file for an event",
                    reason: "eventfd",
                    octets: message(13, VhostFrontEnd.long(0)),
                    files: 1
                ),
            ]
        }

        @Test("a front end that breaks the protocol ends its link only", arguments: Message.all)
        func brokenProtocol(message: Message) throws {
            let guest = try VhostFrontEnd(at: scene.path)
            try guest.send(
                octets: message.octets,
                [Int32](repeating: guest.file, count: message.files)
            )
            try expectEnd(message.reason)
        }

        @Test(
            "a ring outside the memory, or not aligned",
            arguments: [VhostFrontEnd.size, 8, 0x3fff_f]
        )
        func misplacedRing(offset: Int) throws {
            let guest = try connect()
            let address = VhostFrontEnd.long(VhostFrontEnd.ownAddress + UInt64(offset))
            try guest.send(
                9,
                VhostFrontEnd.long(0) + address + address + address + VhostFrontEnd.long(0)
            )
            try expectEnd("ring 0 is outside the guest's memory, or not aligned")
        }

        @Test func `a pipe as memory, and one as event`() throws {
            for request: UInt32 in [5, 12] {
                var ends: [Int32] = [0, 0]
                try #require(pipe(&ends) == 0)
                let guest = try VhostFrontEnd(at: scene.path)
                let payload = request == 5 ? VhostFrontEnd.table() : VhostFrontEnd.long(0)
                try guest.send(request, payload, descriptors: [ends[0]])
                for end in ends { close(end) }
                try scene.turn()
            }
            #expect(scene.recorder.closings.count == 2)
        }

        @Test func `the memory goes away while frames wait`() throws {
            let guest = try connect()
            #expect(scene.links[0].reserve(100, .bulk) == nil)
            try guest.send(5, VhostFrontEnd.word(0) + VhostFrontEnd.word(0))
            try expectEnd("outside the guest's memory")
        }
    }
}
