import Testing

@testable import RDNetKit

@Suite("frames on a byte stream")
struct StreamFramingTests {
    private static let formats: [StreamFormat] = [.littleEndian16, .bigEndian32, .extended]

    private var offload: VirtioNetHeader {
        var header = VirtioNetHeader()
        header.needsChecksum = true
        header.segmentation = .tcpIPv4
        header.segmentSize = 1448
        header.headerLength = 66
        header.checksumStart = 34
        header.checksumOffset = 16
        return header
    }

    /// A frame's bytes as they appear on the stream.
    private func encoded(_ frame: [UInt8], _ format: StreamFormat) -> [UInt8] {
        let count = frame.count
        switch format {
        case .littleEndian16:
            return [UInt8(count & 255), UInt8(count >> 8)] + frame
        case .bigEndian32:
            return [0, 0, UInt8(count >> 8), UInt8(count & 255)] + frame
        case .extended:
            return [UInt8(count & 255), UInt8(count >> 8), 0, 0]
                + [1, 1, 66, 0, 0xa8, 5, 34, 0, 16, 0] + frame
        }
    }

    /// Fills an input with bytes, as one read would.
    private func feed(_ octets: ArraySlice<UInt8>, to input: inout StreamInput) throws {
        _ = try input.fill { (room) throws(SystemError) -> Int? in
            room.copyBytes(from: octets)
            return octets.count
        }
    }

    @Test("cut at every octet, the same frames come out", arguments: formats)
    func everyCut(format: StreamFormat) throws {
        let frames = [14, 60, 1, 0, 300].map { [UInt8](repeating: UInt8($0 & 255), count: $0) }
        let stream = frames.flatMap { encoded($0, format) }
        for cut in 0...stream.count {
            var input = StreamInput(format: format)
            var received: [[UInt8]] = []
            for part in [stream[..<cut], stream[cut...]] {
                try feed(part, to: &input)
                while let frame = try input.next() {
                    received.append(Array(frame.octets))
                    #expect(frame.header == (format == .extended ? offload : .finished))
                }
            }
            expectFrames(received, equal: frames, "cut at \(cut)")
        }
    }

    @Test("octet by octet", arguments: formats)
    func singleOctets(format: StreamFormat) throws {
        var input = StreamInput(format: format)
        let frame = (0..<100).map { UInt8($0) }
        var count = 0
        for octet in encoded(frame, format) + encoded(frame, format) {
            try feed([octet], to: &input)
            while let next = try input.next() {
                expectBytes(next.octets, equals: frame)
                count += 1
            }
        }
        #expect(count == 2)
    }

    @Test(
        "a length that no frame can have ends the stream",
        arguments: [131_073, 0x7fff_ffff, 0xffff_ffff] as [UInt32]
    )
    func impossibleLength(length: UInt32) throws {
        let octets = (0..<4).map { UInt8(truncatingIfNeeded: length >> (24 - 8 * UInt32($0))) }
        let orders: [(StreamFormat, [UInt8])] = [
            (.bigEndian32, octets),
            (.extended, Array(octets.reversed()) + [UInt8](repeating: 0, count: 10)),
        ]
        for (format, prefix) in orders {
            var input = StreamInput(format: format)
            try feed(prefix[...], to: &input)
            var thrown: StreamInput.FramingError?
            do throws(StreamInput.FramingError) {
                _ = try input.next()
            } catch {
                thrown = error
            }
            #expect(thrown == .impossibleLength(Int(length)))
        }
    }

    @Test("the largest frames pass, many reads in a row", arguments: formats)
    func largest(format: StreamFormat) throws {
        var input = StreamInput(format: format)
        let stream = encoded([UInt8](repeating: 3, count: 65_535), format)
        var count = 0
        for _ in 0..<40 {
            for start in stride(from: 0, to: stream.count, by: 40_000) {
                try feed(stream[start..<min(start + 40_000, stream.count)], to: &input)
                while let frame = try input.next() {
                    #expect(frame.octets.count == 65_535)
                    count += 1
                }
            }
        }
        #expect(count == 40)
    }

    @Test("a frame is written behind its length, and its header if the stream has one")
    func octets() throws {
        for format in Self.formats {
            var output = StreamOutput(format: format, mtu: 1500)
            if format == .extended { output.extend(.all, maximumFrame: Frame.maximumLength) }
            let frame = (0..<300).map { UInt8(truncatingIfNeeded: $0) }
            let room = output.reserve(frame.count, .bulk)
            try #require(room).copyBytes(from: frame)
            let count = output.commit(frame.count, format == .extended ? offload : .finished)
            #expect(count == 1)
            var stream: [UInt8] = []
            try output.drain { (waiting) throws(SystemError) -> Int? in
                stream = Array(waiting)
                return waiting.count
            }
            expectBytes(stream, equals: encoded(frame, format), "\(format)")
        }
    }

    @Test(
        "what is written is read again, however the stream takes it",
        arguments: formats,
        [UInt64](1...4)
    )
    func output(format: StreamFormat, seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        var output = StreamOutput(format: format, mtu: 1500)
        if format == .extended { output.extend(.all, maximumFrame: Frame.maximumLength) }
        var input = StreamInput(format: format)
        var sent: [[UInt8]] = []
        var received: [[UInt8]] = []
        for round in 0..<400 {
            let count = Int.random(in: 14...1514, using: &random)
            if let room = output.reserve(count, .bulk) {
                room.initializeMemory(as: UInt8.self, repeating: UInt8(round & 255))
                #expect(output.commit(count, .finished) == 1)
                sent.append(Array(room))
            }
            let limit = Int.random(in: 0...2000, using: &random)
            var taken: [UInt8] = []
            try output.drain { (waiting) throws(SystemError) -> Int? in
                taken = Array(waiting.prefix(limit))
                return limit == 0 ? nil : taken.count
            }
            guard !taken.isEmpty else { continue }
            try feed(taken[...], to: &input)
            while let frame = try input.next() { received.append(Array(frame.octets)) }
        }
        expectFrames(received, equal: Array(sent.prefix(received.count)))
        #expect(received.count > 100)
    }

    @Test func `bulk leaves room for control, and a full queue refuses`() throws {
        var output = StreamOutput(format: .littleEndian16, mtu: 1500)
        var bulk = 0
        while output.reserve(1000, .bulk) != nil {
            bulk += output.commit(1000, .finished)
        }
        let hadRoom = output.hasRoom
        #expect(!hadRoom)
        var control = 0
        while output.reserve(60, .control) != nil, control < 100_000 {
            control += output.commit(60, .finished)
        }
        #expect(bulk > 400)
        #expect(control > 1000 && control < 100_000)
        try output.drain { (waiting) throws(SystemError) -> Int? in waiting.count }
        let (hasRoom, count) = (output.hasRoom, output.count)
        #expect(hasRoom)
        #expect(count == 0)
    }
}
