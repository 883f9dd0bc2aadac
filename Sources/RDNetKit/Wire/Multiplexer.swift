/// One end of VPNKit's multiplexer: many channels over one stream.
///
/// How it works: `read` consumes the peer's bytes and returns one event at a time; the payload of
/// Data stays in the caller's memory. All methods append their frames to `output`, which the caller
/// sends and empties.
///
/// A channel starts with Open and a window from each side. Shutdown ends one direction, Close ends
/// both and is answered with Close; then the number is free again. A peer's Close without Shutdown
/// before it means that the channel was reset. The protocol reports no errors: a refused
/// destination is such a Close.
///
/// The reader tolerates what VPNKit's programs disagree about: frames for unknown channels are
/// skipped with their payload, data after Shutdown is discarded, and a second Close is ignored. A
/// peer that sends more than the window allows loses the channel.
struct Multiplexer {
    /// Limit on channels, which limits the buffered bytes to 1 GiB.
    static let maximumChannels = 16_384

    /// Which end of the stream this is; it keeps the two ends' channel numbers apart.
    enum Side {
        /// Accepted the connection; numbers count up from 0.
        case listener
        /// Opened the connection; numbers count down from the largest.
        case connector
    }

    /// What the peer did.
    enum Event: Equatable {
        /// The peer opened a channel; `accept` or `close` answers it.
        case opened(UInt32, ForwarderDestination)
        /// Bytes for a channel arrived; the range is within the bytes given to `read`.
        case data(UInt32, Range<Int>)
        /// The peer sends no more on a channel.
        case shutDown(UInt32)
        /// A channel no longer exists.
        case closed(UInt32, wasReset: Bool)
        /// A channel may send more.
        case allowed(UInt32)
    }

    private enum Phase: Equatable {
        case magic
        /// The payload of a handshake.
        case greeting(remaining: Int)
        case frames
        /// The payload of Data; nil discards it.
        case payload(UInt32?, remaining: Int)
    }

    /// Frames that wait to be sent.
    var output: [UInt8] = []
    /// The existing channels by number.
    private(set) var channels: [UInt32: MultiplexChannel] = [:]
    private let side: Side
    private let limit: Int
    private var phase: Phase
    private var lastNumber: UInt32

    /// Creates one end.
    ///
    /// - Parameters:
    ///   - side: Which end.
    ///   - hasHandshake: Whether both ends send the handshake first.
    ///   - limit: Limit on channels of both sides together.
    init(_ side: Side, hasHandshake: Bool = true, limit: Int = Multiplexer.maximumChannels) {
        self.side = side
        self.limit = limit
        phase = hasHandshake ? .magic : .frames
        lastNumber = side == .listener ? .max : 0
        if hasHandshake { output = MultiplexHandshake.octets }
    }

    /// Whether the peer's handshake has arrived, or none is expected.
    var isReady: Bool {
        switch phase {
        case .magic, .greeting: false
        case .frames, .payload: true
        }
    }

    /// Whether another channel can be opened.
    var hasRoom: Bool { channels.count < limit }

    // MARK: Receiving

    /// Consumes bytes up to the next event.
    ///
    /// - Parameters:
    ///   - input: The peer's bytes.
    ///   - start: Where the unconsumed bytes start; advanced past the consumed ones.
    /// - Returns: The event; nil if more bytes are needed.
    /// - Throws: `MultiplexError` if the stream must end.
    mutating func read(_ input: RawSpan, from start: inout Int) throws(MultiplexError) -> Event? {
        while true {
            let available = input.byteCount - start
            switch phase {
            case .magic:
                guard try readMagic(input, &start) else { return nil }
            case .greeting(let remaining):
                let count = min(remaining, available)
                start += count
                phase = count == remaining ? .frames : .greeting(remaining: remaining - count)
                if count < remaining { return nil }
            case .payload(let channel, let remaining):
                guard available > 0 else { return nil }
                let count = min(remaining, available)
                start += count
                phase =
                    count == remaining ? .frames : .payload(channel, remaining: remaining - count)
                if let channel, let event = receive(count, at: start, on: channel) { return event }
            case .frames:
                let rest = input.extracting(start..<input.byteCount)
                guard let (frame, length) = try MultiplexFrame.read(rest) else { return nil }
                start += length
                if let event = try receive(frame) { return event }
            }
        }
    }

    private mutating func readMagic(
        _ input: RawSpan,
        _ start: inout Int
    ) throws(MultiplexError) -> Bool {
        let magic = MultiplexHandshake.magic
        let count = min(input.byteCount - start, magic.count)
        guard input.array(start..<start + count).elementsEqual(magic.prefix(count)) else {
            throw .noHandshake
        }
        guard input.byteCount - start >= magic.count + 2 else { return false }
        let payload: UInt16 = input.littleEndian(at: start + magic.count)
        start += magic.count + 2
        phase = payload == 0 ? .frames : .greeting(remaining: Int(payload))
        return true
    }

    private mutating func receive(_ frame: MultiplexFrame) throws(MultiplexError) -> Event? {
        switch frame {
        case .open(let number, let destination):
            guard channels[number] == nil else { throw .channelExists(number) }
            guard hasRoom else {
                output += MultiplexFrame.close(number).octets
                return nil
            }
            channels[number] = MultiplexChannel(destination)
            return .opened(number, destination)
        case .close(let number):
            guard let channel = channels.removeValue(forKey: number) else { return nil }
            if channel.hasClosed { return nil }
            output += MultiplexFrame.close(number).octets
            return .closed(number, wasReset: !channel.peerHasShutDown)
        case .shutdown(let number):
            guard let channel = channels[number], !channel.hasClosed, !channel.peerHasShutDown
            else { return nil }
            channels[number]?.peerHasShutDown = true
            return .shutDown(number)
        case .data(let number, let count):
            let isExpected = channels[number].map { !$0.hasClosed && !$0.peerHasShutDown } ?? false
            if count > 0 { phase = .payload(isExpected ? number : nil, remaining: Int(count)) }
            return nil
        case .window(let number, let total):
            guard let channel = channels[number], !channel.hasClosed else { return nil }
            channels[number]?.allow(total)
            return channel.allowed < total ? .allowed(number) : nil
        }
    }

    /// Counts payload that ends at an index.
    private mutating func receive(_ count: Int, at end: Int, on number: UInt32) -> Event? {
        // The caller may have closed the channel after an earlier part.
        guard let channel = channels[number], !channel.hasClosed else { return nil }
        guard channels[number]?.receive(count) ?? false else {
            close(number)
            return .closed(number, wasReset: true)
        }
        return .data(number, end - count..<end)
    }

    // MARK: Sending

    /// Opens a channel.
    ///
    /// - Returns: Its number; nil if there are too many channels.
    mutating func open(_ destination: ForwarderDestination) -> UInt32? {
        guard hasRoom else { return nil }
        repeat {
            lastNumber = side == .listener ? lastNumber &+ 1 : lastNumber &- 1
        } while channels[lastNumber] != nil
        channels[lastNumber] = MultiplexChannel(destination)
        output += MultiplexFrame.open(lastNumber, destination).octets
        accept(lastNumber)
        return lastNumber
    }

    /// Lets the peer send on a channel that it opened.
    mutating func accept(_ number: UInt32) {
        guard let channel = channels[number], !channel.hasClosed else { return }
        output += MultiplexFrame.window(number, channel.granted).octets
    }

    /// The number of bytes that a channel may send now.
    func allowance(of number: UInt32) -> Int { channels[number]?.allowance ?? 0 }

    /// Appends the header of a payload; the caller appends the payload to `output`.
    ///
    /// - Parameters:
    ///   - count: At most the channel's allowance, and not 0.
    ///   - number: An existing channel.
    mutating func startData(_ count: Int, on number: UInt32) {
        channels[number]?.send(count)
        output += MultiplexFrame.data(number, count: UInt32(clamping: count)).octets
    }

    /// Counts received bytes that were passed on, so that the peer may send more.
    mutating func consume(_ count: Int, on number: UInt32) {
        guard let total = channels[number]?.consume(count), let channel = channels[number],
            !channel.hasClosed, !channel.peerHasShutDown
        else { return }
        output += MultiplexFrame.window(number, total).octets
    }

    /// Ends this side's direction of a channel.
    mutating func shutDown(_ number: UInt32) {
        guard let channel = channels[number], !channel.hasClosed, !channel.hasShutDown else {
            return
        }
        channels[number]?.hasShutDown = true
        output += MultiplexFrame.shutdown(number).octets
    }

    /// Ends both directions of a channel; there are no more events for it.
    mutating func close(_ number: UInt32) {
        guard let channel = channels[number], !channel.hasClosed else { return }
        channels[number]?.hasClosed = true
        output += MultiplexFrame.close(number).octets
    }
}
