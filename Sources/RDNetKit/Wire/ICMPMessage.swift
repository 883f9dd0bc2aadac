/// An ICMP message (RFC 792): type, code, checksum, four octets that depend on the type, then data.
struct ICMPMessage: Equatable {
    static let headerLength = 8

    enum Kind: Equatable {
        case echoReply
        case echoRequest
        case destinationUnreachable(Unreachable)
        case timeExceeded(code: UInt8)
        case parameterProblem(code: UInt8)
        case other(type: UInt8, code: UInt8)

        init(type: UInt8, code: UInt8) {
            switch (type, code) {
            case (0, 0): self = .echoReply
            case (8, 0): self = .echoRequest
            case (3, _): self = .destinationUnreachable(Unreachable(code: code))
            case (11, _): self = .timeExceeded(code: code)
            case (12, _): self = .parameterProblem(code: code)
            default: self = .other(type: type, code: code)
            }
        }
    }

    /// Codes of "destination unreachable" (RFC 792; RFC 1122, 3.2.2.1) that the gateway sends or
    /// acts on.
    enum Unreachable: Equatable {
        case network
        case host
        case transport
        case port
        case fragmentationNeeded
        case administrativelyProhibited
        case other(UInt8)

        var code: UInt8 {
            switch self {
            case .network: 0
            case .host: 1
            case .transport: 2
            case .port: 3
            case .fragmentationNeeded: 4
            case .administrativelyProhibited: 13
            case .other(let code): code
            }
        }

        init(code: UInt8) {
            switch code {
            case 0: self = .network
            case 1: self = .host
            case 2: self = .transport
            case 3: self = .port
            case 4: self = .fragmentationNeeded
            case 13: self = .administrativelyProhibited
            default: self = .other(code)
            }
        }
    }

    var kind: Kind
    /// The four bytes after the checksum: identifier and sequence number, or the next-hop MTU.
    var rest: UInt32
    /// Bytes after the header.
    var dataLength: Int

    /// The identifier of an echo.
    var identifier: UInt16 { UInt16(truncatingIfNeeded: rest >> 16) }

    init(kind: Kind, rest: UInt32 = 0, dataLength: Int) {
        self.kind = kind
        self.rest = rest
        self.dataLength = dataLength
    }

    /// Reads a message whose checksum the caller has verified.
    init(reading message: RawSpan) throws(PacketError) {
        guard message.byteCount >= Self.headerLength else {
            throw .truncated(needed: Self.headerLength, available: message.byteCount)
        }
        kind = Kind(type: message.octet(at: 0), code: message.octet(at: 1))
        rest = message.bigEndian(at: 4)
        dataLength = message.byteCount - Self.headerLength
    }

    /// Writes the header with a zero checksum, to be computed once the data follows it.
    func write(to message: inout MutableRawSpan) {
        let (type, code) = typeAndCode
        message.storeOctet(type, at: 0)
        message.storeOctet(code, at: 1)
        message.storeBigEndian(0 as UInt16, at: 2)
        message.storeBigEndian(rest, at: 4)
    }

    private var typeAndCode: (UInt8, UInt8) {
        switch kind {
        case .echoReply: (0, 0)
        case .echoRequest: (8, 0)
        case .destinationUnreachable(let reason): (3, reason.code)
        case .timeExceeded(let code): (11, code)
        case .parameterProblem(let code): (12, code)
        case .other(let type, let code): (type, code)
        }
    }
}
