internal import CLinux
internal import Glibc

/// A vhost-user front end and its guest: messages, memory and rings with any content.
///
/// The guest's memory is a part of a file, with bytes before and after it that nobody may change.
enum VhostFuzz {
    private static let page = 4096
    private static let size = 16 * page
    private static let address: UInt64 = 0x10_0000
    private static let untouched: UInt8 = 0xa5

    static var cases: [FuzzCase] { [device, messages] }

    // MARK: The file

    private static let file: Int32 = {
        let number = "fuzz".withCString {
            clinux_syscall(Int(SYS_memfd_create), Int(bitPattern: $0), 1, 0, 0)
        }
        mustHold(number >= 0 && ftruncate(Int32(number), size + 2 * page) == 0, "no memory")
        return Int32(number)
    }()

    nonisolated(unsafe) private static let memory: UnsafeMutableRawBufferPointer = {
        let start = mmap(nil, size + 2 * page, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0)
        return UnsafeMutableRawBufferPointer(start: start, count: size + 2 * page)
    }()

    private static func clear() {
        memory.initializeMemory(as: UInt8.self, repeating: 0)
        for edge in [0..<page, page + size..<2 * page + size] {
            for index in edge { memory[index] = untouched }
        }
    }

    private static func checkEdges() {
        for edge in [0..<page, page + size..<2 * page + size] {
            mustHold(memory[edge].allSatisfy { $0 == untouched }, "wrote outside the memory")
        }
    }

    // MARK: Messages

    private static func messages(_ input: inout FuzzInput) throws {
        let pair = try Socket.pair()
        var connection = VhostConnection(pair.one)
        let device = VhostDevice()
        for piece in input.pieces().pieces {
            _ = try Socket.send(pair.other, piece)
            while let (header, request) = try connection.next() {
                _ = try device.receive(request, header, &connection.descriptors)
            }
        }
    }

    private static func message(_ request: UInt32, _ words: UInt64...) -> [UInt8] {
        let payload = words.flatMap(\.littleEndianOctets)
        return request.littleEndianOctets + (1 as UInt32).littleEndianOctets
            + UInt32(payload.count).littleEndianOctets + payload
    }

    /// The messages that set up a ring: its number, its size, and an event descriptor.
    private static func setUp(
        _ ring: UInt64,
        _ entries: UInt64,
        _ event: Int32,
        _ socket: borrowing OwnedDescriptor
    ) throws {
        let start = address + ring * UInt64(2 * page)
        let words = [start, start + 2048, start + 1024]
        _ = try Socket.send(socket, message(8, ring | entries << 32))
        _ = try Socket.send(socket, message(9, ring, words[0], words[1], words[2], 0))
        try DescriptorPassing.send(event, with: message(13, ring), over: socket)
        try DescriptorPassing.send(event, with: message(12, ring), over: socket)
        _ = try Socket.send(socket, message(18, ring | 1 << 32))
    }

    // MARK: Rings

    /// A guest that writes anything anywhere between turns, and a link that echoes its frames.
    private static func device(_ input: inout FuzzInput) throws {
        clear()
        defer { checkEdges() }
        let loop = try EventLoop(clock: { Instant(nanoseconds: 0) })
        let pair = try Socket.pair()
        let link = VhostLink(pair.one, named: "fuzz", mtu: 1_500, loop: loop, log: .discarding())
        let receiver = EchoingReceiver()
        try link.start(for: receiver)
        defer { link.close() }
        let event = Int32(clinux_syscall(Int(SYS_eventfd2), 0, 0o4000, 0, 0))
        defer { _ = Glibc.close(event) }
        let features = VirtioFeatures.offered.rawValue
        let dropped = UInt64(input.integer16()) << 15 | UInt64(input.octet()) << 28
        _ = try Socket.send(pair.other, message(2, features & ~dropped | 1 << 30))
        let table = message(5, 1, address, UInt64(size), address, UInt64(page))
        try DescriptorPassing.send(file, with: table, over: pair.other)
        let entries = UInt64(1) << UInt64(input.number(below: 6))
        for ring: UInt64 in [0, 1] { try setUp(ring, entries, event, pair.other) }
        try loop.turn(waitingAtMost: .zero)
        while !input.isEmpty, !link.isClosed {
            let offset = Int(input.integer16()) % size
            let octets = input.take(1 + input.number(below: 64))
            for (index, octet) in octets.enumerated() where offset + index < size {
                memory[page + offset + index] = octet
            }
            var one: UInt64 = 1
            _ = write(event, &one, 8)
            try loop.turn(waitingAtMost: .zero)
            link.flush(now: loop.now)
        }
        mustHold(link.isClosed == receiver.hasClosed, "closed without a word")
    }

    /// Sends every frame back, and a large one.
    private final class EchoingReceiver: FrameReceiver {
        private(set) var hasClosed = false

        func receive(_ frame: Frame, from link: any FrameLink, now: Instant) {
            mustHold(frame.hasReceivableLength, "a frame of \(frame.octets.count) bytes")
            link.send(frame, .bulk)
            if link.reserve(20_000, .bulk) != nil { link.commit(20_000, frame.header) }
        }

        func batchEnded(on link: any FrameLink, now: Instant) {}
        func hasRoom(_ link: any FrameLink, now: Instant) {}

        func closed(_ link: any FrameLink, reason: String, now: Instant) {
            hasClosed = true
        }
    }
}
