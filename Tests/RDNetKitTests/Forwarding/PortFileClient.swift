import Testing

@testable import RDNetKit

/// A 9P2000 client with a codec of its own, which talks to a session without a connection, or to a
/// server's unix socket.
final class PortFileClient {
    let session: NinePSession
    private let answering: ([UInt8]) throws -> [UInt8]?
    private var tag: UInt16 = 0

    /// A reply: its type, and what follows the tag.
    struct Reply {
        var type: UInt8
        var body: [UInt8]

        /// The text of an error; nil for another reply.
        var error: String? {
            type == 107 ? String(decoding: body.dropFirst(2), as: UTF8.self) : nil
        }
    }

    /// Begins a session, or leaves that to the test.
    init(_ system: PortFileSystem, client: IPAddress? = nil, begins: Bool = true) throws {
        let session = NinePSession(system, client: client)
        self.session = session
        answering = { session.answer($0) }
        if begins { try begin() }
    }

    /// Begins a session with a server.
    init(at path: String) throws {
        let none = PortFileSystem(log: .discarding()) { _, _ throws(PortFileError) in
            throw .unknownProtocol
        }
        session = NinePSession(none, client: nil)
        let address = try #require(SocketAddress(path: path))
        let descriptor = try Socket.makeUnix()
        _ = try Socket.connect(descriptor, to: address)
        let stream = WaitingSocketHolder(descriptor)
        answering = { message in
            // In two pieces, as a stream may deliver them.
            try stream.socket.send(Array(message.prefix(3)), within: hangGuard)
            try stream.socket.send(Array(message.dropFirst(3)), within: hangGuard)
            var answer: [UInt8] = []
            while answer.count < 4 || answer.count < Int(answer[0]) | Int(answer[1]) << 8 {
                let more = try stream.socket.receive(upTo: 16_384, within: hangGuard)
                if more.isEmpty { return nil }
                answer += more
            }
            return answer
        }
        try begin()
    }

    /// Keeps a socket that cannot be copied.
    private final class WaitingSocketHolder {
        let socket: WaitingSocket

        init(_ descriptor: consuming OwnedDescriptor) {
            socket = WaitingSocket(descriptor)
        }
    }

    private func begin() throws {
        let version = try #require(send(100, Self.number(8_192, 4) + Self.text("9P2000")))
        #expect(version.type == 101)
        #expect(try request(104, fid(0) + fid(.max) + Self.text("me") + Self.text("")).type == 105)
    }

    static func number(_ value: Int, _ octets: Int) -> [UInt8] {
        (0..<octets).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
    }

    static func text(_ text: String) -> [UInt8] { number(text.utf8.count, 2) + text.utf8 }

    private func fid(_ fid: UInt32) -> [UInt8] { Self.number(Int(fid), 4) }

    /// Sends a message; nil if the server does not answer.
    func send(_ type: UInt8, _ body: [UInt8]) -> Reply? {
        tag += 1
        let head = Self.number(7 + body.count, 4) + [type] + Self.number(Int(tag), 2)
        let answer: [UInt8]?
        do {
            answer = try answering(head + body)
        } catch {
            Issue.record(error)
            return nil
        }
        guard let answer else { return nil }
        #expect(Array(answer[..<4]) == Self.number(answer.count, 4))
        #expect(Array(answer[5..<7]) == Self.number(Int(tag), 2))
        return Reply(type: answer[4], body: Array(answer[7...]))
    }

    func request(_ type: UInt8, _ body: [UInt8]) throws -> Reply {
        try #require(send(type, body))
    }

    func walk(_ from: UInt32, _ to: UInt32, _ names: String...) throws -> Reply {
        let body = fid(from) + fid(to) + Self.number(names.count, 2)
        return try request(110, body + names.flatMap { Self.text($0) })
    }

    /// Makes a directory, as mkdir(1) does; a fid for it stays.
    func make(_ name: String, _ fid: UInt32) throws -> Reply {
        _ = try walk(0, fid)
        return try request(114, self.fid(fid) + Self.text(name) + Self.number(1 << 31, 4) + [0])
    }

    func open(_ fid: UInt32) throws -> Reply { try request(112, self.fid(fid) + [2]) }

    func write(_ fid: UInt32, _ text: String) throws -> Reply {
        try request(
            118,
            self.fid(fid) + Self.number(0, 8) + Self.number(text.utf8.count, 4) + text.utf8
        )
    }

    func read(_ fid: UInt32, at offset: Int = 0, _ count: Int = 4_096) throws -> String {
        let reply = try request(
            116,
            self.fid(fid) + Self.number(offset, 8) + Self.number(count, 4)
        )
        #expect(reply.error == nil)
        return String(decoding: reply.body.dropFirst(4), as: UTF8.self)
    }

    func clunk(_ fid: UInt32) throws { #expect(try request(120, self.fid(fid)).type == 121) }

    func remove(_ fid: UInt32) throws -> Reply { try request(122, self.fid(fid)) }

    /// Requests a port through a new directory, and returns the answer; the given fid holds it.
    func publish(_ request: String, as name: String, _ fid: UInt32) throws -> String {
        #expect(try make(name, fid).type == 115)
        try clunk(fid)
        #expect(try walk(0, fid, name, "ctl").type == 111)
        #expect(try open(fid).type == 113)
        #expect(try write(fid, request).type == 119)
        return try read(fid)
    }

    /// The names in the root directory, without those that are always there.
    func names() throws -> [String] {
        _ = try walk(0, 9_999)
        defer {
            do { try clunk(9_999) } catch { Issue.record(error) }
        }
        var names: [String] = []
        var offset = 0
        while true {
            let reply = try request(
                116,
                fid(9_999) + Self.number(offset, 8) + Self.number(300, 4)
            )
            let records = Array(reply.body.dropFirst(4))
            if records.isEmpty { return names.filter { ![".", "..", "README"].contains($0) } }
            var start = 0
            while start < records.count {
                let length = Int(records[start]) | Int(records[start + 1]) << 8
                let size = Int(records[start + 41]) | Int(records[start + 42]) << 8
                names.append(
                    String(decoding: records[(start + 43)..<(start + 43 + size)], as: UTF8.self)
                )
                start += length + 2
            }
            offset += records.count
        }
    }
}
