internal import CLinux
internal import Glibc

/// The host's side of the engine's flows: servers on every address of this network namespace.
///
/// TCP and UDP port 7, and UDP port 53, where the network's DNS server is.
final class EngineHost {
    nonisolated(unsafe) static let shared = EngineHost()
    /// Whether the C library and the runtime have opened what they open once.
    nonisolated(unsafe) static var isWarm = false

    private static let maximumConnections = 16

    private let listener = make(SOCK_STREAM, port: 7)
    private let echo = make(SOCK_DGRAM, port: 7)
    private let resolver = make(SOCK_DGRAM, port: 53)
    private var connections: [Int32] = []
    private var query: [UInt8] = []
    private var client = sockaddr_in()
    private var buffer = [UInt8](repeating: 0, count: 65_536)

    private init() {
        Self.requireOwnNetwork()
        check(listen(listener, 64), "listen")
    }

    /// Refuses a network where packets could reach anybody else.
    private static func requireOwnNetwork() {
        let interfaces = if_nameindex()
        defer { if_freenameindex(interfaces) }
        guard let interfaces, interfaces[0].if_index == 1, interfaces[1].if_index == 0 else {
            fatalError("needs a network namespace without interfaces; run fuzz.sh")
        }
    }

    static func lowestFreeDescriptor() -> Int32 {
        let number = fcntl(0, F_DUPFD, 3)
        close(number)
        return number
    }

    private static func make(_ kind: __socket_type, port: UInt16) -> Int32 {
        let number = socket(AF_INET, Int32(kind.rawValue | SOCK_NONBLOCK.rawValue), 0)
        var yes: Int32 = 1
        setsockopt(number, SOL_SOCKET, SO_REUSEADDR, &yes, 4)
        check(lend(port, address: 0) { bind(number, $0, $1) }, "bind to port \(port)")
        return number
    }

    private static func lend(
        _ port: UInt16,
        address: UInt32,
        _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
    ) -> Int32 {
        var name = sockaddr_in()
        name.sin_family = sa_family_t(AF_INET)
        name.sin_port = port.bigEndian
        name.sin_addr.s_addr = address.bigEndian
        // Sound: a sockaddr_in begins like every sockaddr, and the call gets its length.
        return withUnsafePointer(to: name) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }

    private static func check(_ result: Int32, _ call: String) {
        if result < 0 { fatalError("\(call): \(String(cString: strerror(errno)))") }
    }

    private func check(_ result: Int32, _ call: String) { Self.check(result, call) }

    // MARK: Actions

    /// Does one thing on one of the connections.
    func act(_ input: inout FuzzInput) {
        let action = input.number(below: 9)
        switch action {
        case 0: acceptAll()
        case 6:
            echoDatagrams(copies: input.number(below: 8), length: Int(input.integer16()) % 9_000)
        case 7: connect(toForward: 8_080)
        case 8: sendToForward(Int(input.octet()) * 16)
        default:
            guard !connections.isEmpty else { return }
            let index = input.number(below: connections.count)
            act(action, on: index, Int(input.octet()))
        }
    }

    private func act(_ action: Int, on index: Int, _ count: Int) {
        let number = connections[index]
        switch action {
        case 1: send(number, buffer, min(count * 512, buffer.count), Int32(MSG_NOSIGNAL))
        case 2: shutdown(number, Int32(SHUT_WR))
        case 3: remove(index)
        case 4:
            var linger = linger(l_onoff: 1, l_linger: 0)
            setsockopt(
                number,
                SOL_SOCKET,
                SO_LINGER,
                &linger,
                socklen_t(MemoryLayout.size(ofValue: linger))
            )
            remove(index)
        default: recv(number, &buffer, max(count * 256, 1), 0)
        }
    }

    private func remove(_ index: Int) {
        close(connections.remove(at: index))
    }

    private func acceptAll() {
        while connections.count < Self.maximumConnections {
            let number = accept4(listener, nil, nil, Int32(SOCK_NONBLOCK.rawValue))
            if number < 0 { return }
            connections.append(number)
        }
    }

    private func connect(toForward port: UInt16) {
        guard connections.count < Self.maximumConnections else { return }
        let number = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue), 0)
        _ = Self.lend(port, address: 0x7f00_0001) { Glibc.connect(number, $0, $1) }
        connections.append(number)
    }

    private func sendToForward(_ count: Int) {
        _ = Self.lend(8_081, address: 0x7f00_0001) {
            Int32(truncatingIfNeeded: sendto(echo, buffer, count, 0, $0, $1))
        }
    }

    private func echoDatagrams(copies: Int, length: Int) {
        while receive(from: echo) != nil {
            for _ in 0..<copies { answer(echo, buffer, length) }
        }
    }

    /// Answers the last query to the DNS server, if any, with any change.
    func answerQuery(_ input: inout FuzzInput) {
        if let count = receive(from: resolver) { query = Array(buffer[..<count]) }
        guard query.count > 2 else { return }
        var response = query
        response[2] |= 0x80
        let changes = input.number(below: 8)
        for _ in 0..<changes {
            let offset = Int(input.octet())
            if offset < response.count { response[offset] ^= input.octet() }
        }
        response += input.take(Int(input.octet()))
        answer(resolver, response, response.count)
    }

    private func receive(from number: Int32) -> Int? {
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        // Sound: recvfrom(2) gets the storage's own length.
        let count = withUnsafeMutablePointer(to: &client) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                recvfrom(number, &buffer, buffer.count, 0, $0, &length)
            }
        }
        return count < 0 ? nil : count
    }

    private func answer(_ number: Int32, _ octets: [UInt8], _ count: Int) {
        let port = UInt16(bigEndian: client.sin_port)
        _ = Self.lend(port, address: UInt32(bigEndian: client.sin_addr.s_addr)) {
            Int32(truncatingIfNeeded: sendto(number, octets, count, 0, $0, $1))
        }
    }

    /// Closes every connection and forgets what waits.
    func reset() {
        repeat {
            for number in connections { close(number) }
            connections = []
            acceptAll()
        } while !connections.isEmpty
        while receive(from: echo) != nil {}
        while receive(from: resolver) != nil {}
        query = []
    }
}
