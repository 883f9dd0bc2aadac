import Testing

@testable import RDNetKit

/// Tests whose links map files share the process's handler of SIGBUS.
@Suite("vhost-user", .serialized)
enum VhostTests {}

extension VhostTests {
    @Suite("link over vhost-user")
    struct VhostLinkTests {
        private let scene: LinkScene
        private static let version1: UInt64 = 1 << 32 | 1 << 30
        private static let merging = version1 | 1 << 15
        private static let offloads = merging | 1 << 1 | 1 << 7 | 1 << 8

        init() throws {
            scene = try LinkScene()
            try scene.listen(at: .vhost(scene.path))
        }

        private func connect(_ features: UInt64? = version1) throws -> VhostFrontEnd {
            let guest = try VhostFrontEnd(at: scene.path)
            if let features { try guest.setUp(features: features) }
            try scene.turn()
            return guest
        }

        /// The virtio header of a finished frame, with the number of buffers that it fills.
        private func header(buffers: UInt8 = 0) -> [UInt8] {
            [UInt8](repeating: 0, count: 10) + [buffers, 0]
        }

        /// Gives the device buffers for frames, one descriptor each.
        private func provide(_ guest: VhostFrontEnd, _ count: Int, _ length: UInt32 = 2048) {
            for index in 0..<count {
                let place = VhostFrontEnd.buffers + index * 4096
                guest.describe(.receiving, index, VhostFrontEnd.descriptor(place, length, flags: 2))
                guest.offer(.receiving, head: UInt16(index))
            }
        }

        @Test func `a front end learns the features`() throws {
            let guest = try connect(nil)
            try guest.send(1)
            try guest.send(15)
            try scene.turn()
            // GET_FEATURES: reply, 8 bytes; checksums, TSO and ECN, merging, indirect, event index,
            // protocol features, version 1, USO. GET_PROTOCOL_FEATURES: REPLY_ACK.
            let head = VhostFrontEnd.word(1) + VhostFrontEnd.word(5) + VhostFrontEnd.word(8)
            let second = VhostFrontEnd.word(15) + VhostFrontEnd.word(5) + VhostFrontEnd.word(8)
            #expect(
                try guest.answers()
                    == head + VhostFrontEnd.long(0x01c0_0001_7000_b983) + second
                    + VhostFrontEnd.long(1 << 3)
            )
        }

        @Test func `messages are acknowledged on request, once that is agreed`() throws {
            let guest = try connect(nil)
            try guest.send(3, flags: 9)
            try guest.send(16, VhostFrontEnd.long(1 << 3))
            try guest.send(3, flags: 9)
            // SEND_RARP, which was not offered.
            try guest.send(19, VhostFrontEnd.long(0), flags: 9)
            try scene.turn()
            let answers = try guest.answers()
            let head = { VhostFrontEnd.word($0) + VhostFrontEnd.word(5) + VhostFrontEnd.word(8) }
            #expect(answers == head(3) + VhostFrontEnd.long(0) + head(19) + VhostFrontEnd.long(1))
            #expect(scene.recorder.closings.isEmpty)
        }

        @Test func `a message that arrives byte by byte`() throws {
            let guest = try connect(nil)
            for octet in VhostFrontEnd.word(1) + VhostFrontEnd.word(1) + VhostFrontEnd.word(0) {
                #expect(try guest.answers() == [])
                try guest.send(octets: [octet])
                try scene.turn()
            }
            #expect(try guest.answers()?.count == 20)
        }

        @Test("a frame from the guest, in one buffer, in several, and in a table", arguments: 0..<3)
        func fromGuest(layout: Int) throws {
            let guest = try connect(Self.version1 | 1 << 28)
            let frame = LinkScene.frame(3, 100)
            let place = VhostFrontEnd.buffers
            guest.write(header() + frame, at: place)
            let pieces = [
                VhostFrontEnd.descriptor(place, 12, flags: 1, next: 1),
                VhostFrontEnd.descriptor(place + 12, 60, flags: 1, next: 2),
                VhostFrontEnd.descriptor(place + 72, 40),
            ]
            switch layout {
            case 0: guest.describe(.sending, 0, VhostFrontEnd.descriptor(place, 112))
            case 1:
                for (index, piece) in pieces.enumerated() { guest.describe(.sending, index, piece) }
            default:
                guest.write(pieces.flatMap { $0 }, at: place + 4096)
                guest.describe(.sending, 0, VhostFrontEnd.descriptor(place + 4096, 48, flags: 4))
            }
            guest.offer(.sending, head: 0)
            guest.kick(.sending)
            try scene.turn()
            #expect(scene.recorder.frames.map(\.octets) == [frame])
            #expect(scene.recorder.frames.first?.header == .finished)
            #expect(guest.usedIndex(.sending) == 1)
            #expect(guest.used(.sending, 0) == [0, 0])
            #expect(guest.countCalls(.sending) == 1)
        }

        @Test func `a frame's pending offloads come along`() throws {
            let guest = try connect()
            // NEEDS_CSUM, TCPV4, hdr_len 54, gso_size 1000, csum_start 34, csum_offset 16.
            let head: [UInt8] = [1, 1, 54, 0, 0xe8, 3, 34, 0, 16, 0, 0, 0]
            guest.write(head + LinkScene.frame(1, 3000), at: VhostFrontEnd.buffers)
            guest.describe(.sending, 0, VhostFrontEnd.descriptor(VhostFrontEnd.buffers, 3012))
            guest.offer(.sending, head: 0)
            guest.kick(.sending)
            try scene.turn()
            let header = try #require(scene.recorder.frames.first?.header)
            #expect(header.needsChecksum && header.segmentation == .tcpIPv4)
            #expect(header.segmentSize == 1000 && header.checksumStart == 34)
        }

        @Test func `more frames than one turn takes, and the ring wraps`() throws {
            let guest = try connect()
            for number in 0..<100 {
                let place = VhostFrontEnd.buffers + (number % 8) * 4096
                guest.write(header() + LinkScene.frame(number), at: place)
                guest.describe(.sending, number % 8, VhostFrontEnd.descriptor(place, 72))
                guest.offer(.sending, head: UInt16(number % 8))
                guest.kick(.sending)
                try scene.turn(1)
            }
            #expect(scene.recorder.frames.map(\.octets) == (0..<100).map { LinkScene.frame($0) })
            #expect(guest.usedIndex(.sending) == 100)
        }

        @Test func `a frame to the guest fills one buffer`() throws {
            let guest = try connect()
            let link = try #require(scene.links.first)
            provide(guest, 2)
            scene.send(LinkScene.frame(1, 200), to: link)
            #expect(guest.usedIndex(.receiving) == 1)
            #expect(guest.used(.receiving, 0) == [0, 212])
            #expect(
                guest.read(212, at: VhostFrontEnd.buffers)
                    == header(buffers: 1) + LinkScene.frame(1, 200)
            )
            #expect(guest.countCalls(.receiving) == 1)
            #expect(link.counters.framesSent == 1)
        }

        @Test func `a frame to the guest fills several buffers, if it merges them`() throws {
            let guest = try connect(Self.merging)
            provide(guest, 4, 256)
            let frame = LinkScene.frame(1, 600)
            scene.send(frame, to: try #require(scene.links.first))
            #expect(guest.usedIndex(.receiving) == 3)
            #expect(
                (0..<3).map { guest.used(.receiving, $0) } == [[0, 256], [1, 256], [2, 100]]
            )
            let pieces = (0..<3).flatMap { guest.read(256, at: VhostFrontEnd.buffers + $0 * 4096) }
            #expect(Array(pieces.prefix(612)) == header(buffers: 3) + frame)
        }

        @Test func `a frame longer than the guest's buffers is dropped, if it does not merge them`()
            throws
        {
            let guest = try connect()
            provide(guest, 4, 256)
            let link = try #require(scene.links.first)
            scene.send(LinkScene.frame(1, 600), to: link)
            scene.send(LinkScene.frame(2, 100), to: link)
            #expect(guest.usedIndex(.receiving) == 1)
            #expect(link.counters.dropped == 1)
            #expect(!link.isClosed)
        }

        @Test func `whoever found no buffer learns that there are some`() throws {
            let guest = try connect()
            let link = try #require(scene.links.first)
            #expect(link.reserve(100, .bulk) == nil)
            #expect(scene.recorder.roomAgain == 1, "the start of the ring")
            provide(guest, 1)
            guest.kick(.receiving)
            try scene.turn()
            #expect(scene.recorder.roomAgain == 2)
            #expect(link.reserve(100, .bulk) != nil)
            // Nobody waits: the guest's kick changes nothing.
            guest.kick(.receiving)
            try scene.turn()
            #expect(scene.recorder.roomAgain == 2)
        }

        @Test func `segments and checksums stay pending for a guest that accepts them`() throws {
            let guest = try connect(Self.offloads)
            provide(guest, 4)
            let link = try #require(scene.links.first)
            let (frame, header) = tcpSegment(3000)
            frame.withUnsafeBytes { link.send(Frame($0, header), .bulk) }
            link.flush(now: scene.loop.now)
            #expect(guest.usedIndex(.receiving) == 2)
            let start = guest.read(12, at: VhostFrontEnd.buffers)
            #expect(start == [1, 1, 54, 0, 0xe8, 3, 34, 0, 16, 0, 2, 0])
        }

        @Test func `segments are cut for a guest that does not accept them`() throws {
            let guest = try connect()
            provide(guest, 8)
            let link = try #require(scene.links.first)
            let (frame, header) = tcpSegment(3000)
            frame.withUnsafeBytes { link.send(Frame($0, header), .control) }
            link.flush(now: scene.loop.now)
            #expect(guest.usedIndex(.receiving) == 3)
            #expect((0..<3).map { guest.used(.receiving, $0)[1] } == [1066, 1066, 1012])
            #expect(guest.read(2, at: VhostFrontEnd.buffers) == [0, 0])
        }

        /// A TCP segment in a frame of this length, to be cut into payloads of 1,000 bytes.
        private func tcpSegment(_ count: Int) -> ([UInt8], VirtioNetHeader) {
            let length = UInt16(count - 14)
            // The checksum of the rest of the header, less the length (RFC 1071).
            let sum = 0xfba3 - length
            let ip: [UInt8] =
                [0x45, 0, UInt8(length >> 8), UInt8(length & 255), 0, 0, 0, 0, 64, 6]
                + [UInt8(sum >> 8), UInt8(sum & 255), 192, 168, 127, 1, 192, 168, 127, 2]
            let tcp: [UInt8] =
                [0, 80, 0, 80] + [0, 0, 0, 1, 0, 0, 0, 1] + [0x50, 0x10, 1, 0, 0, 0, 0, 0]
            let head = Array(LinkScene.frame(0).prefix(14)) + ip + tcp
            var header = VirtioNetHeader()
            header.needsChecksum = true
            header.segmentation = .tcpIPv4
            header.headerLength = 54
            header.segmentSize = 1000
            header.checksumStart = 34
            header.checksumOffset = 16
            return (head + [UInt8](repeating: 7, count: count - head.count), header)
        }

        @Test func `with event indices, the guest is called only when it waits`() throws {
            let guest = try connect(Self.version1 | 1 << 29)
            let link = try #require(scene.links.first)
            provide(guest, 8)
            let event = VhostFrontEnd.place(.receiving).available + 4 + 2 * VhostFrontEnd.entries
            guest.write16(1, at: event)
            scene.send(LinkScene.frame(1), to: link)
            #expect(guest.countCalls(.receiving) == 0)
            scene.send(LinkScene.frame(2), to: link)
            #expect(guest.countCalls(.receiving) == 1)
            scene.send(LinkScene.frame(3), to: link)
            #expect(guest.countCalls(.receiving) == 0)
            // The device waits for the guest's first frame.
            let used = VhostFrontEnd.place(.sending).used + 4 + 8 * VhostFrontEnd.entries
            #expect(guest.read16(at: used) == 0)
        }

        @Test func `a stopped ring says where it stopped, and continues there`() throws {
            let guest = try connect()
            let link = try #require(scene.links.first)
            provide(guest, 4)
            scene.send(LinkScene.frame(1), to: link)
            // A buffer that is reserved, but not used, is not gone.
            #expect(link.reserve(100, .bulk) != nil)
            for ring: UInt32 in [0, 1] {
                try guest.send(11, VhostFrontEnd.word(ring) + VhostFrontEnd.word(0))
            }
            try scene.turn()
            let answers = try #require(try guest.answers())
            #expect(Array(answers[12..<20]) == VhostFrontEnd.word(0) + VhostFrontEnd.word(1))
            #expect(Array(answers[32..<40]) == VhostFrontEnd.word(1) + VhostFrontEnd.word(0))
            #expect(link.reserve(100, .bulk) == nil)
            try guest.start(.receiving, base: 1)
            try scene.turn()
            scene.send(LinkScene.frame(2), to: link)
            #expect(guest.used(.receiving, 1) == [1, 72])
        }

        @Test func `another link takes over the rings where they are`() throws {
            let guest = try connect()
            provide(guest, 4)
            scene.send(LinkScene.frame(1), to: scene.links[0])
            let second = try VhostFrontEnd(sharing: guest, at: scene.path)
            try second.setUp(features: Self.version1, base: 1)
            try scene.turn()
            scene.send(LinkScene.frame(2), to: scene.links[1])
            #expect(guest.usedIndex(.receiving) == 2)
            #expect(guest.used(.receiving, 1) == [1, 72])
        }

        @Test func `the end of the connection ends the link`() throws {
            var guest: VhostFrontEnd? = try connect()
            #expect(guest != nil)
            guest = nil
            try scene.turn()
            #expect(scene.recorder.closings == ["the other end closed the connection"])
            #expect(scene.links.first?.isClosed == true)
        }
    }
}
