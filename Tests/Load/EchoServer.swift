import CLinux
import Glibc

/// Echoes data on any number of connections; a client that does not read delays only itself.
struct EchoServer: StreamServer {
    private struct Connection {
        /// Data that was read but not yet sent back.
        var pending: ArraySlice<UInt8> = []
        var hasEnded = false
    }

    let listener: Int32
    var readiness = Readiness()
    private var connections: [Int32: Connection] = [:]
    private var buffer = [UInt8](repeating: 0, count: 65_536)

    init(port: UInt16) {
        listener = listenSocket(port: port)
        readiness.watch(listener, isNew: true)
    }

    mutating func accepted(_ descriptor: Int32) {
        connections[descriptor] = Connection()
    }

    mutating func serve(_ descriptor: Int32) {
        guard var connection = connections.removeValue(forKey: descriptor) else { return }
        let wasBlocked = !connection.pending.isEmpty
        guard flush(&connection, descriptor) else { return drop(descriptor) }
        if connection.pending.isEmpty {
            let count = read(descriptor, &buffer, buffer.count)
            if count > 0 {
                connection.pending = buffer[..<count]
                guard flush(&connection, descriptor) else { return drop(descriptor) }
            } else if count == 0 || errno != EAGAIN {
                return drop(descriptor)
            }
        }
        let isBlocked = !connection.pending.isEmpty
        if isBlocked != wasBlocked {
            readiness.watch(descriptor, reading: !isBlocked, writing: isBlocked, isNew: false)
        }
        connections[descriptor] = connection
    }

    /// Sends pending data; returns false if the connection is closed.
    private func flush(_ connection: inout Connection, _ descriptor: Int32) -> Bool {
        while !connection.pending.isEmpty {
            let count = connection.pending.withUnsafeBytes {
                send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            if count < 0 { return errno == EAGAIN }
            connection.pending = connection.pending.dropFirst(count)
        }
        return true
    }

    private func drop(_ descriptor: Int32) {
        close(descriptor)
    }
}
