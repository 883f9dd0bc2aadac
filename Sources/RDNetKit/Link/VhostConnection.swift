/// Why a vhost-user link ends.
enum VhostFault: Error, CustomStringConvertible {
    /// The front end closed the connection.
    case closed
    case system(SystemError)
    /// A message that contradicts its format.
    case message(request: UInt32, PacketError)
    /// The stream ends or continues where it must not.
    case framing(PacketError)
    /// A message that makes no sense now.
    case unexpected(String)
    case ring(Int, VirtioFault)
    case lostMemory

    /// Whether nobody broke a rule.
    var isOrdinary: Bool {
        if case .closed = self { return true }
        return false
    }

    var description: String {
        switch self {
        case .closed: "the other end closed the connection"
        case .system(let error): "\(error)"
        case .message(let request, let error): "message \(request): \(error)"
        case .framing(let error): "no vhost-user message: \(error)"
        case .unexpected(let reason): reason
        case .ring(let number, let fault): "ring \(number): \(fault)"
        case .lostMemory: "the front end cut the file of its guest's memory"
        }
    }
}

/// The stream of messages with a vhost-user front end.
///
/// A read never goes beyond one message, so the descriptors that came with the bytes are that
/// message's.
struct VhostConnection: ~Copyable {
    let socket: OwnedDescriptor
    /// The descriptors of the latest message.
    var descriptors = ReceivedDescriptors()
    private let buffer: UnsafeMutableRawBufferPointer
    private var count = 0
    private var header: VhostHeader?

    /// Creates a stream over a connected unix socket.
    init(_ socket: consuming OwnedDescriptor) {
        self.socket = socket
        buffer = .allocate(
            byteCount: VhostHeader.length + VhostHeader.maximumPayload,
            alignment: 8
        )
    }

    deinit {
        buffer.deallocate()
    }

    /// Reads the next message.
    ///
    /// - Returns: The message; nil if none is complete.
    /// - Throws: `VhostFault`.
    mutating func next() throws(VhostFault) -> (VhostHeader, VhostRequest)? {
        if header == nil {
            if count == 0 { descriptors.removeAll() }
            guard try fill(VhostHeader.length) else { return nil }
            do throws(PacketError) {
                let octets = UnsafeRawBufferPointer(rebasing: buffer[..<VhostHeader.length])
                header = try VhostHeader(reading: octets.bytes)
            } catch {
                throw .framing(error)
            }
        }
        guard let header, try fill(VhostHeader.length + header.payloadLength) else { return nil }
        let payload = UnsafeRawBufferPointer(rebasing: buffer[VhostHeader.length..<count])
        self.header = nil
        count = 0
        do throws(PacketError) {
            return (header, try VhostRequest(header, payload.bytes))
        } catch {
            throw .message(request: header.request, error)
        }
    }

    /// Reads until the buffer has some bytes; returns whether it has them.
    private mutating func fill(_ wanted: Int) throws(VhostFault) -> Bool {
        while count < wanted {
            let room = UnsafeMutableRawBufferPointer(rebasing: buffer[count..<wanted])
            let read: Int?
            do throws(SystemError) {
                read = try descriptors.receive(over: socket, into: room)
            } catch {
                throw .system(error)
            }
            guard let read else { return false }
            if read == 0 { throw .closed }
            count += read
        }
        return true
    }

    /// Sends an answer.
    ///
    /// - Throws: `VhostFault`, also if the front end reads no answers.
    func send(_ reply: VhostReply) throws(VhostFault) {
        let octets = reply.octets
        // Nothing was read since the message that is answered.
        buffer.copyBytes(from: octets)
        do throws(SystemError) {
            let sent = try Socket.send(
                socket,
                UnsafeRawBufferPointer(rebasing: buffer[..<octets.count])
            )
            guard sent == octets.count else { throw SystemError.invalid("answer") }
        } catch {
            throw .system(error)
        }
    }
}
