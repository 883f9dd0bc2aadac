/// The parsers that read the name of a server from a client's first bytes.
enum NameFuzz {
    static func run(_ input: FuzzInput) {
        runFuzzCase(input, [hello, message, requests, datagrams, frames])
    }

    /// A stream in pieces gives the same reading as the stream at once.
    private static func hello(_ input: inout FuzzInput) {
        let (whole, pieces) = input.pieces()
        var (reader, reading, count) = (TLSClientHelloReader(), TLSClientHelloReading.incomplete, 0)
        for piece in pieces where reading == .incomplete {
            count += piece.count
            reading = whole[..<count].withUnsafeBytes { reader.read($0) }
        }
        mustHold(whole.withUnsafeBytes { TLSClientHello.read($0) } == reading, "\(reading)")
        if case .hello(let hello) = reading { check(hello.serverName) }
    }

    private static func message(_ input: inout FuzzInput) throws {
        let message = input.rest()
        let hello = try TLSClientHello(readingHandshake: message.span.bytes)
        check(hello.serverName)
    }

    /// A name is in its one spelling.
    private static func check(_ name: String?) {
        guard let name else { return }
        mustHold(ServerName.canonical(name.utf8) == name, name)
    }

    // MARK: HTTP

    /// What a connection comes to: its requests, the bytes that passed, and the last step.
    private struct Course: Equatable {
        var names: [String?] = []
        var passed = 0
        var last = HTTPRequestFollower.Step.needsMore
    }

    private static func requests(_ input: inout FuzzInput) {
        let (whole, pieces) = input.pieces()
        let (one, many) = (course([whole]), course(pieces))
        mustHold(one == many, "\(one) in pieces is \(many)")
        for name in one.names where name?.contains(":") == false { check(name) }
    }

    private static func course(_ pieces: [[UInt8]]) -> Course {
        var (follower, course, held) = (HTTPRequestFollower(), Course(), [UInt8]())
        for piece in pieces {
            held += piece
            while true {
                course.last = held.withUnsafeBytes { follower.read($0) }
                var length = 0
                switch course.last {
                case .request(let name, let count):
                    course.names.append(name)
                    length = count
                case .body(let count): length = count
                case .needsMore: break
                case .notHTTP, .opaque, .invalid: return course
                }
                if course.last == .needsMore { break }
                mustHold(length > 0 && length <= held.count, "\(length) of \(held.count) bytes")
                held.removeFirst(length)
                course.passed += length
            }
        }
        return course
    }

    // MARK: QUIC

    /// A client's datagrams; a refused one changes nothing, and a connection says hello once.
    private static func datagrams(_ input: inout FuzzInput) {
        var inspector = QUICClientInspector()
        for datagram in input.pieces().pieces {
            let reading = datagram.withUnsafeBytes { inspector.read($0) }
            let again = datagram.withUnsafeBytes { inspector.read($0) }
            switch reading {
            case .hello(let hello):
                check(hello.serverName)
                mustHold(again == .other, "\(again) after a hello")
            case .invalid: mustHold(again == reading, "\(again) after \(reading)")
            case .notQUIC, .other, .incomplete: break
            }
        }
    }

    /// Frames of packets, as they are after decryption.
    private static func frames(_ input: inout FuzzInput) throws {
        var stream = QUICCryptoStream()
        for packet in input.pieces().pieces {
            let before = stream.hello
            try stream.read(framesOf: packet)
            mustHold(before == nil || stream.hello == before, "another hello")
        }
        check(stream.hello?.serverName)
    }
}
