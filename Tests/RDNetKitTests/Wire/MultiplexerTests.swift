import Testing

@testable import RDNetKit

extension Multiplexer {
    /// Consumes all bytes and returns the events.
    mutating func events(of input: [UInt8]) throws(MultiplexError) -> [Event] {
        var (start, events) = (0, [Event]())
        while let event = try read(input.span.bytes, from: &start) { events.append(event) }
        return events
    }

    /// Returns the output in hexadecimal digits and empties it.
    mutating func takeOutput() -> [UInt8] {
        defer { output = [] }
        return output
    }
}

private let destination = ForwarderDestination.tcp(Endpoint(address: .loopbackIPv4, port: 8080))

@Suite("VPNKit's multiplexer")
final class MultiplexerTests {
    /// The two ends of a stream; the host opens channels and listens.
    private var host = Multiplexer(.listener)
    private var guest = Multiplexer(.connector)

    /// Delivers everything that the ends have to say to each other.
    @discardableResult
    private func exchange() throws -> (
        host: [Multiplexer.Event], guest: [Multiplexer.Event]
    ) {
        var events = (host: [Multiplexer.Event](), guest: [Multiplexer.Event]())
        while !host.output.isEmpty || !guest.output.isEmpty {
            events.guest += try guest.events(of: host.takeOutput())
            events.host += try host.events(of: guest.takeOutput())
        }
        return events
    }

    private func openChannel() throws -> UInt32 {
        let number = host.open(destination)
        return try #require(number)
    }

    private func opened() throws -> UInt32 {
        let number = try openChannel()
        try exchange()
        guest.accept(number)
        try exchange()
        return number
    }

    @Test func `both ends send the handshake at once, and ignore its payload`() throws {
        #expect(
            host.takeOutput()
                == Array("https://github.com/moby/vpnkit multiplexer protocol\n\0\0".utf8)
        )
        #expect(!guest.isReady)
        let greeting = MultiplexHandshake.magic + [3, 0] + Array("abc".utf8)
        #expect(
            try guest.events(of: greeting + MultiplexFrame.open(0, destination).octets) == [
                .opened(0, destination)
            ]
        )
        #expect(guest.isReady)
    }

    @Test func `a stream in pieces of one byte gives the same events`() throws {
        let stream =
            MultiplexHandshake.octets + MultiplexFrame.open(0, destination).octets
            + MultiplexFrame.data(0, count: 3).octets + [1, 2, 3]
            + MultiplexFrame.shutdown(0).octets
        var (held, events) = ([UInt8](), [Multiplexer.Event]())
        for octet in stream {
            held.append(octet)
            var start = 0
            while let event = try guest.read(held.span.bytes, from: &start) { events.append(event) }
            held.removeFirst(start)
        }
        #expect(
            events == [
                .opened(0, destination), .data(0, 0..<1), .data(0, 0..<1), .data(0, 0..<1),
                .shutDown(0),
            ]
        )
    }

    @Test func `a peer without the handshake is refused at the first wrong byte`() {
        var host = host
        #expect(throws: MultiplexError.noHandshake) { try host.events(of: Array("httpx".utf8)) }
    }

    @Test func `the recorded exchange of Go's programs, with half-close`() throws {
        try exchange()
        let number = try openChannel()
        #expect(
            host.output
                == bytes(
                    "1100 01 00000000 02 01 0400 7f000001 901f 0f00 05 00000000 0000010000000000"
                )
        )
        #expect(try exchange().guest == [.opened(0, destination), .allowed(0)])
        guest.accept(number)
        #expect(try exchange().host == [.allowed(0)])
        host.startData(5, on: number)
        host.output += Array("hello".utf8)
        host.shutDown(number)
        #expect(host.output == bytes("0b00 04 00000000 05000000 68656c6c6f 0700 03 00000000"))
        #expect(try exchange().guest == [.data(0, 11..<16), .shutDown(0)])
        guest.startData(3, on: number)
        guest.output += Array("bye".utf8)
        guest.shutDown(number)
        guest.close(number)
        guest.close(number)
        guest.shutDown(number)
        #expect(
            try exchange().host == [.data(0, 11..<14), .shutDown(0), .closed(0, wasReset: false)]
        )
        #expect(host.channels.isEmpty && guest.channels.isEmpty)
    }

    @Test func `the ends' channel numbers stay apart, and free numbers are used again`()
        throws
    {
        try exchange()
        #expect([host.open(destination), host.open(destination)] == [0, 1])
        #expect([guest.open(destination), guest.open(destination)] == [.max, .max - 1])
        try exchange()
        #expect(host.channels.count == 4)
    }

    @Test func `a refused destination is a close without a shutdown`() throws {
        let number = try opened()
        guest.close(number)
        #expect(try exchange().host == [.closed(number, wasReset: true)])
        #expect(guest.channels.isEmpty && host.channels.isEmpty)
    }

    @Test func `windows are absolute, and sent once less than half is left`() throws {
        let number = try opened()
        #expect(host.allowance(of: number) == 65_536)
        host.startData(65_536, on: number)
        host.output += [UInt8](repeating: 7, count: 65_536)
        try exchange()
        #expect(host.allowance(of: number) == 0)
        guest.consume(32_768, on: number)
        #expect(guest.output.isEmpty)
        guest.consume(1, on: number)
        #expect(guest.output == MultiplexFrame.window(number, 98_305).octets)
        #expect(try exchange().host == [.allowed(number)])
        #expect(host.allowance(of: number) == 32_769)
        #expect(try host.events(of: MultiplexFrame.window(number, 10).octets) == [])
        #expect(host.allowance(of: number) == 32_769)
    }

    @Test func `a channel that ignores its window is reset`() throws {
        let number = try opened()
        let excess = MultiplexFrame.data(number, count: 70_000).octets
        var events = try guest.events(of: excess + [UInt8](repeating: 1, count: 65_536))
        #expect(events == [.data(number, 11..<65_547)])
        events = try guest.events(of: [UInt8](repeating: 1, count: 4_464))
        #expect(events == [.closed(number, wasReset: true)])
        #expect(guest.output == MultiplexFrame.close(number).octets)
        #expect(try exchange().host == [.closed(number, wasReset: true)])
        #expect(guest.channels.isEmpty)
    }

    @Test(
        "frames for unknown channels are harmless, and data is skipped",
        arguments: [
            MultiplexFrame.close(9).octets, MultiplexFrame.shutdown(9).octets,
            MultiplexFrame.window(9, 5).octets,
            MultiplexFrame.data(9, count: 4).octets + [0xff, 0xff, 6, 0],
            MultiplexFrame.data(9, count: 0).octets,
        ]
    )
    func unknownChannel(frame: [UInt8]) throws {
        var guest = Multiplexer(.connector, hasHandshake: false)
        let next = MultiplexFrame.open(1, destination).octets
        #expect(try guest.events(of: frame + next) == [.opened(1, destination)])
        #expect(guest.output.isEmpty)
    }

    @Test func `data after a shutdown is discarded, and a second shutdown ignored`() throws {
        let number = try opened()
        let stream =
            MultiplexFrame.shutdown(number).octets + MultiplexFrame.shutdown(number).octets
            + MultiplexFrame.data(number, count: 2).octets + [1, 2]
            + MultiplexFrame.close(number).octets
        #expect(
            try guest.events(of: stream) == [.shutDown(number), .closed(number, wasReset: false)]
        )
    }

    @Test func `after a close nothing arrives, until the peer's close frees the number`()
        throws
    {
        let number = try opened()
        guest.close(number)
        let data = MultiplexFrame.data(number, count: 2).octets + [1, 2]
        #expect(try guest.events(of: data + MultiplexFrame.shutdown(number).octets) == [])
        #expect(guest.channels.count == 1)
        #expect(try guest.events(of: MultiplexFrame.close(number).octets) == [])
        #expect(guest.channels.isEmpty)
    }

    @Test func `a close in the middle of a payload discards the rest of it`() throws {
        let number = try opened()
        let header = MultiplexFrame.data(number, count: 4).octets
        #expect(try guest.events(of: header + [1, 2]) == [.data(number, 11..<13)])
        guest.close(number)
        #expect(try guest.events(of: [3, 4] + MultiplexFrame.close(number).octets) == [])
        #expect(guest.channels.isEmpty)
    }

    @Test func `an open channel cannot be opened again`() {
        var guest = Multiplexer(.connector, hasHandshake: false)
        let open = MultiplexFrame.open(1, destination).octets
        #expect(throws: MultiplexError.channelExists(1)) { try guest.events(of: open + open) }
    }

    @Test func `beyond the limit, channels are closed at once`() throws {
        var guest = Multiplexer(.connector, hasHandshake: false, limit: 1)
        let opens = (0..<3).flatMap { MultiplexFrame.open($0, destination).octets }
        #expect(try guest.events(of: opens) == [.opened(0, destination)])
        #expect(guest.output == MultiplexFrame.close(1).octets + MultiplexFrame.close(2).octets)
        #expect(guest.open(destination) == nil)
    }
}
