/// An ICMP message (RFC 792; RFC 4443): type, code, checksum, four octets that depend on the type,
/// then data.
///
/// The two families number the same meanings differently.
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

        /// The meaning of ICMPv6's numbers (RFC 4443, 3 and 4).
        init(typeIPv6 type: UInt8, code: UInt8) {
            switch (type, code) {
            case (1, _): self = .destinationUnreachable(Unreachable(codeIPv6: code))
            case (2, _): self = .destinationUnreachable(.fragmentationNeeded)
            case (3, _): self = .timeExceeded(code: code)
            case (4, _): self = .parameterProblem(code: code)
            case (128, 0): self = .echoRequest
            case (129, 0): self = .echoReply
            default: self = .other(type: type, code: code)
            }
        }

        /// The numbers in IPv4.
        fileprivate var numbers: (type: UInt8, code: UInt8) {
            switch self {
            case .echoReply: (0, 0)
            case .echoRequest: (8, 0)
            case .destinationUnreachable(let reason): (3, reason.code)
            case .timeExceeded(let code): (11, code)
            case .parameterProblem(let code): (12, code)
            case .other(let type, let code): (type, code)
            }
        }

        /// The numbers in IPv6.
        fileprivate var numbersIPv6: (type: UInt8, code: UInt8) {
            switch self {
            case .echoReply: (129, 0)
            case .echoRequest: (128, 0)
            case .destinationUnreachable(.fragmentationNeeded): (2, 0)
            // An unknown transport is an unknown next header.
            case .destinationUnreachable(.transport): (4, 1)
            case .destinationUnreachable(let reason): (1, reason.codeIPv6)
            case .timeExceeded(let code): (3, code)
            case .parameterProblem(let code): (4, code)
            case .other(let type, let code): (type, code)
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

        /// The code in IPv6 (RFC 4443, 3.1).
        var codeIPv6: UInt8 {
            switch self {
            case .network, .transport, .fragmentationNeeded: 0
            case .administrativelyProhibited: 1
            case .host: 3
            case .port: 4
            case .other(let code): code
            }
        }

        init(codeIPv6 code: UInt8) {
            switch code {
            case 0: self = .network
            case 1: self = .administrativelyProhibited
            case 3: self = .host
            case 4: self = .port
            default: self = .other(code)
            }
        }
    }

    var kind: Kind
    /// The four bytes after the checksum: identifier and sequence number, the next-hop MTU, or the
    /// pointer.
    var rest: UInt32

    /// The identifier of an echo.
    var identifier: UInt16 { UInt16(truncatingIfNeeded: rest >> 16) }

    init(kind: Kind, rest: UInt32 = 0) {
        self.kind = kind
        self.rest = rest
    }

    /// Reads a message whose checksum the caller verifies.
    init(reading message: RawSpan, isIPv4: Bool = true) throws(PacketError) {
        guard message.byteCount >= Self.headerLength else {
            throw .truncated(needed: Self.headerLength, available: message.byteCount)
        }
        let (type, code) = (message.octet(at: 0), message.octet(at: 1))
        kind = isIPv4 ? Kind(type: type, code: code) : Kind(typeIPv6: type, code: code)
        rest = message.bigEndian(at: 4)
    }

    /// Writes the header with a zero checksum, to be computed once the data follows it.
    func write(to message: inout MutableRawSpan, isIPv4: Bool = true) {
        let (type, code) = isIPv4 ? kind.numbers : kind.numbersIPv6
        message.storeOctet(type, at: 0)
        message.storeOctet(code, at: 1)
        message.storeBigEndian(0 as UInt16, at: 2)
        message.storeBigEndian(rest, at: 4)
    }

    /// The whole message; its checksum is complete in IPv4, and lacks the pseudo-header in IPv6.
    func octets(_ data: [UInt8], isIPv4: Bool = true) -> [UInt8] {
        var octets = [UInt8](repeating: 0, count: Self.headerLength) + data
        // Sound: the spans are used only inside the closure.
        octets.withUnsafeMutableBytes { room in
            var span = room.mutableBytes
            write(to: &span, isIPv4: isIPv4)
            let sum = InternetChecksum.checksum(UnsafeRawBufferPointer(room))
            span.storeBigEndian(sum, at: 2)
        }
        return octets
    }
}
