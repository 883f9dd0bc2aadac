/// VPNKit's multiplexer, its destinations and the datagrams in its channels.
enum MultiplexFuzz {
    static func run(_ input: FuzzInput) {
        runFuzzCase(
            input,
            [
                frame, destination, datagrams, { peer(&$0, hasHandshake: true) },
                { peer(&$0, hasHandshake: false) }, twoEnds,
            ]
        )
    }

    // MARK: Formats

    private static func frame(_ input: inout FuzzInput) throws {
        let octets = input.rest()
        guard let (frame, length) = try MultiplexFrame.read(octets.span.bytes) else { return }
        mustHold(length <= octets.count, "reads beyond the end")
        let again = try MultiplexFrame.read(frame.octets.span.bytes)
        mustHold(again?.frame == frame, "\(frame) became \(String(describing: again))")
    }

    private static func destination(_ input: inout FuzzInput) throws {
        let octets = input.rest()
        _ = ForwarderGreeting(octets.span.bytes)
        guard let (destination, length) = try ForwarderDestination.read(octets.span.bytes) else {
            return
        }
        mustHold(length <= octets.count, "reads beyond the end")
        mustHold(!"\(destination)".isEmpty)
    }

    /// Pieces give the same datagrams as the whole.
    private static func datagrams(_ input: inout FuzzInput) throws {
        let (whole, pieces) = input.pieces()
        let expected = read([whole])
        let found = read(pieces)
        mustHold(found == expected, "\(found) instead of \(expected)")
        for datagram in found.datagrams {
            let again = read([datagram.octets])
            mustHold(again.datagrams == [datagram] && !again.failed, "\(datagram) is lost")
        }
    }

    private struct Reading: Equatable {
        var datagrams: [ForwarderDatagram] = []
        var failed = false
    }

    private static func read(_ pieces: [[UInt8]]) -> Reading {
        var (reader, reading) = (ForwarderDatagramReader(), Reading())
        for piece in pieces where !reading.failed {
            do {
                reading.datagrams += try piece.withUnsafeBytes { try reader.append($0) }
            } catch {
                // Which datagrams of the last piece came before the error depends on its cut.
                return Reading(failed: true)
            }
            mustHold(reader.heldOctets < ForwarderDatagram.maximumLength, "holds too much")
        }
        return reading
    }

    // MARK: The multiplexer

    /// A hostile peer: any bytes, and any calls of this side between them.
    private static func peer(_ input: inout FuzzInput, hasHandshake: Bool) {
        var mux = Multiplexer(.connector, hasHandshake: hasHandshake, limit: 8)
        var held: [UInt8] = hasHandshake ? MultiplexHandshake.octets : []
        var isBroken = false
        while !input.isEmpty, !isBroken {
            act(&mux, &input)
            held += input.take(Int(input.octet()))
            var start = 0
            do {
                while let event = try mux.read(held.span.bytes, from: &start) {
                    check(event, mux, count: start)
                    if case .data(let number, let range) = event {
                        mux.consume(range.count, on: number)
                    }
                }
            } catch {
                isBroken = true
            }
            held.removeFirst(start)
            mustHold(held.count < MultiplexFrame.maximumLength || isBroken, "needs too much")
            mustHold(mux.channels.count <= 8, "too many channels")
            mustHold(mux.output.count < 1 << 20, "says too much")
        }
    }

    private static func check(_ event: Multiplexer.Event, _ mux: Multiplexer, count: Int) {
        switch event {
        case .opened(let number, _), .shutDown(let number), .allowed(let number):
            mustHold(mux.channels[number] != nil, "an event for an unknown channel")
        case .data(let number, let range):
            mustHold(range.upperBound <= count && !range.isEmpty, "data from nowhere")
            let channel = mux.channels[number]
            mustHold(channel.map { $0.received <= $0.granted } ?? false, "data beyond the window")
        case .closed(let number, _):
            mustHold(mux.channels[number]?.hasClosed ?? true, "closed, but open")
        }
    }

    /// Calls that any owner of a channel may make.
    private static func act(_ mux: inout Multiplexer, _ input: inout FuzzInput) {
        let number = UInt32(input.number(below: 4))
        switch input.number(below: 8) {
        case 0: _ = mux.open(.unix("/a"))
        case 1: mux.accept(number)
        case 2: mux.shutDown(number)
        case 3: mux.close(number)
        case 4:
            let count = min(mux.allowance(of: number), 32)
            guard count > 0 else { return }
            mux.startData(count, on: number)
            mux.output += [UInt8](repeating: 0, count: count)
        default: break
        }
    }

    /// Two well-behaved ends never refuse each other's bytes, and agree about the channels.
    private static func twoEnds(_ input: inout FuzzInput) throws {
        var ends = [Multiplexer(.listener), Multiplexer(.connector)]
        while !input.isEmpty {
            act(&ends[input.number(below: 2)], &input)
            for from in [0, 1] { try deliver(from, &ends) }
        }
        for _ in 0..<4 { for from in [0, 1] { try deliver(from, &ends) } }
        mustHold(Set(ends[0].channels.keys) == Set(ends[1].channels.keys), "channels differ")
    }

    private static func deliver(_ from: Int, _ ends: inout [Multiplexer]) throws {
        let octets = ends[from].output
        ends[from].output = []
        var start = 0
        do {
            while let event = try ends[1 - from].read(octets.span.bytes, from: &start) {
                if case .data(let number, let range) = event {
                    ends[1 - from].consume(range.count, on: number)
                }
            }
        } catch {
            mustHold(false, "\(error) between well-behaved ends")
        }
        mustHold(start == octets.count, "frames that are not whole")
    }
}
