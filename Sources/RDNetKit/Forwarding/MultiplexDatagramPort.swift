/// A channel of a multiplexer that carries the datagrams of one client to the VM.
final class MultiplexDatagramPort: GuestDatagramPort, MultiplexChannelEnd {
    private let connection: MultiplexConnection
    private let number: UInt32
    private weak var receiver: (any GuestDatagramReceiver)?
    private var reader = ForwarderDatagramReader()
    private var queue: DatagramStreamQueue
    private var isClosed = false

    /// Creates a port.
    ///
    /// - Parameters:
    ///   - number: A channel of the connection.
    ///   - connection: The multiplexer's stream.
    ///   - counters: Counts lost datagrams.
    ///   - receiver: Receives the VM's datagrams.
    init(
        _ number: UInt32,
        of connection: MultiplexConnection,
        counters: ForwardCounters,
        receiver: any GuestDatagramReceiver
    ) {
        self.number = number
        self.connection = connection
        self.receiver = receiver
        queue = DatagramStreamQueue(counters: counters)
    }

    // MARK: GuestDatagramPort

    func send(_ payload: UnsafeRawBufferPointer) {
        guard !isClosed else { return }
        queue.append(payload, of: nil)
        connection.ask(number)
    }

    func openSibling(
        to guestPort: UInt16,
        receiver: any GuestDatagramReceiver
    ) -> (any GuestDatagramPort)? {
        // The protocol has no place for a second port of the server.
        nil
    }

    func close() {
        guard !isClosed else { return }
        isClosed = true
        connection.close(channel: number)
    }

    // MARK: MultiplexChannelEnd

    func receive(_ octets: UnsafeRawBufferPointer, now: Instant) {
        do {
            for datagram in try reader.append(octets) where !isClosed {
                datagram.payload.withUnsafeBytes { receiver?.receiveFromGuest($0, now: now) }
            }
            connection.consume(octets.count, on: number)
        } catch {
            close()
            receiver?.guestRefused(now: now)
        }
    }

    func peerShutDown() {}

    func closed(wasReset: Bool, now: Instant) {
        isClosed = true
        receiver?.guestRefused(now: now)
    }

    func takeTurn(limit: Int) -> Bool {
        queue.send(upTo: limit) { connection.send($0, on: number) }
    }
}

/// Framed datagrams that wait for a byte stream; when it is full, new datagrams are lost.
struct DatagramStreamQueue {
    /// Room for two of the largest datagrams.
    private static let limit = 2 * ForwarderDatagram.maximumLength

    let counters: ForwardCounters
    private var octets: [UInt8] = []
    private var start = 0

    /// Creates an empty queue.
    init(counters: ForwardCounters) {
        self.counters = counters
    }

    /// Appends a datagram, or counts it as lost.
    mutating func append(_ payload: UnsafeRawBufferPointer, of client: Endpoint?) {
        guard payload.count <= ForwarderDatagram.maximumPayload,
            octets.count - start + payload.count <= Self.limit
        else {
            counters.datagramsDropped += 1
            return
        }
        octets += ForwarderDatagram.header(client: client, payload: payload.count)
        octets.append(contentsOf: payload)
    }

    /// Sends one piece.
    ///
    /// - Returns: Whether more waits, and could be sent.
    mutating func send(upTo limit: Int, _ send: (UnsafeRawBufferPointer) -> Void) -> Bool {
        let count = min(limit, octets.count - start)
        guard count > 0 else { return false }
        octets.withUnsafeBytes { send(UnsafeRawBufferPointer(rebasing: $0[start..<start + count])) }
        consume(count)
        return count == limit
    }

    /// Sends as much as a socket accepts.
    ///
    /// - Returns: Whether the queue is empty now.
    mutating func send(to socket: borrowing OwnedDescriptor) throws(SystemError) -> Bool {
        while start < octets.count {
            guard let count = try Socket.send(socket, octets, from: start) else { return false }
            consume(count)
        }
        return true
    }

    private mutating func consume(_ count: Int) {
        start += count
        guard start == octets.count || start > Self.limit else { return }
        octets.removeSubrange(..<start)
        start = 0
    }
}
