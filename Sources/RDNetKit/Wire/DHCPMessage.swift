/// The type of a DHCP message (RFC 2132, 9.6; RFC 3203, 4).
enum DHCPMessageType: UInt8, Sendable {
    case discover = 1
    case offer = 2
    case request = 3
    case decline = 4
    case ack = 5
    case nak = 6
    case release = 7
    case inform = 8
    /// A server asks a client to renew its lease now.
    case forceRenew = 9
}

/// A DHCP message (RFC 2131, section 2).
///
///     0      1      2      3
///     op     htype  hlen   hops
///     xid
///     secs          flags
///     ciaddr
///     yiaddr
///     siaddr
///     giaddr
///     chaddr (16), sname (64), file (128)
///     99     130    83     99      options…
///
/// Only Ethernet clients are supported. Options carried in `sname` and `file` (option 52) are read
/// with the others, and those two fields are then empty.
struct DHCPMessage: Equatable, Sendable {
    /// Bytes before the magic cookie.
    static let fixedLength = 236
    /// The minimum length that BOOTP and some DHCP clients and relays expect (RFC 1542, 2.1).
    static let minimumReplyLength = 300
    /// The length that every client accepts (RFC 2131, section 2: 576 bytes of IP), without IP and
    /// UDP headers.
    static let commonLimit = 548

    static let clientPort: UInt16 = 68
    static let serverPort: UInt16 = 67

    private static let cookie: UInt32 = 0x6382_5363
    private static let broadcastFlag: UInt16 = 0x8000
    private static let ethernet: UInt8 = 1

    /// BOOTREQUEST and BOOTREPLY.
    enum Operation: UInt8, Sendable {
        case request = 1
        case reply = 2
    }

    var operation: Operation
    var hops: UInt8 = 0
    /// `xid`: chosen by the client, repeated by the server.
    var transactionID: UInt32
    /// `secs`: seconds since the client began.
    var seconds: UInt16 = 0
    var flags: UInt16 = 0
    /// `ciaddr`: the client's current address, for which it answers ARP.
    var clientAddress = IPAddress.anyIPv4
    /// `yiaddr`: the address that the server assigns.
    var yourAddress = IPAddress.anyIPv4
    /// `siaddr`: the next server of a network boot.
    var nextServer = IPAddress.anyIPv4
    /// `giaddr`: the relay agent.
    var relayAgent = IPAddress.anyIPv4
    /// `chaddr`.
    var hardwareAddress: MACAddress
    /// `sname`, without its zeros.
    var serverName: [UInt8] = []
    /// `file`, without its zeros.
    var bootFile: [UInt8] = []
    var options = DHCPOptions()

    init(_ type: DHCPMessageType, transactionID: UInt32, hardwareAddress: MACAddress) {
        switch type {
        case .offer, .ack, .nak, .forceRenew: operation = .reply
        case .discover, .request, .decline, .release, .inform: operation = .request
        }
        self.transactionID = transactionID
        self.hardwareAddress = hardwareAddress
        options.set(.messageType, to: type.rawValue)
    }

    /// The message type; nil without a valid option 53, as in plain BOOTP.
    var type: DHCPMessageType? {
        options.octet(.messageType).flatMap { DHCPMessageType(rawValue: $0) }
    }

    /// Whether the client cannot receive unicast yet (RFC 2131, figure 2: the B flag).
    var wantsBroadcast: Bool {
        get { flags & Self.broadcastFlag != 0 }
        set { flags = newValue ? flags | Self.broadcastFlag : flags & ~Self.broadcastFlag }
    }

    /// Reads a UDP payload.
    ///
    /// - Parameter octets: The whole payload; what follows the end option is ignored.
    /// - Throws: `PacketError` for short messages, hardware other than Ethernet, a missing magic
    ///   cookie and options that exceed their field.
    init(reading octets: RawSpan) throws(PacketError) {
        guard octets.byteCount >= Self.fixedLength + 4 else {
            throw .truncated(needed: Self.fixedLength + 4, available: octets.byteCount)
        }
        guard let operation = Operation(rawValue: octets.octet(at: 0)),
            octets.octet(at: 1) == Self.ethernet, octets.octet(at: 2) == 6,
            octets.bigEndian(at: Self.fixedLength, as: UInt32.self) == Self.cookie
        else { throw .notThisFormat }
        self.operation = operation
        hops = octets.octet(at: 3)
        transactionID = octets.bigEndian(at: 4)
        seconds = octets.bigEndian(at: 8)
        flags = octets.bigEndian(at: 10)
        clientAddress = IPAddress(ipv4: octets.bigEndian(at: 12))
        yourAddress = IPAddress(ipv4: octets.bigEndian(at: 16))
        nextServer = IPAddress(ipv4: octets.bigEndian(at: 20))
        relayAgent = IPAddress(ipv4: octets.bigEndian(at: 24))
        hardwareAddress = MACAddress(reading: octets, at: 28)
        try readOptions(octets)
    }

    private mutating func readOptions(_ octets: RawSpan) throws(PacketError) {
        let (serverNameField, bootFileField) = (44..<108, 108..<236)
        try options.read(octets, field: (Self.fixedLength + 4)..<octets.byteCount)
        // RFC 2131, 4.1: `file` before `sname`; RFC 3396 joins pieces in that order.
        let overload = options.octet(.overload) ?? 0
        // The fields of options may repeat the option itself; the message as written has none.
        defer { options[.overload] = nil }
        if overload & 1 != 0 {
            try options.read(octets, field: bootFileField)
        } else {
            bootFile = Array(octets.array(bootFileField).prefix { $0 != 0 })
        }
        if overload & 2 != 0 {
            try options.read(octets, field: serverNameField)
        } else {
            serverName = Array(octets.array(serverNameField).prefix { $0 != 0 })
        }
    }

    /// The message as a UDP payload, padded to the minimum that everyone accepts.
    var octets: [UInt8] {
        var octets: [UInt8] = [operation.rawValue, Self.ethernet, 6, hops]
        octets.appendBigEndian(transactionID)
        octets.appendBigEndian(seconds)
        octets.appendBigEndian(flags)
        for address in [clientAddress, yourAddress, nextServer, relayAgent] {
            octets += address.octets
        }
        octets += hardwareAddress.octets.padded(to: 16)
        octets += serverName.padded(to: 64)
        octets += bootFile.padded(to: 128)
        octets.appendBigEndian(Self.cookie)
        octets += options.octets
        if octets.count < Self.minimumReplyLength {
            octets += [UInt8](repeating: 0, count: Self.minimumReplyLength - octets.count)
        }
        return octets
    }
}

extension [UInt8] {
    fileprivate mutating func appendBigEndian<Value: FixedWidthInteger>(_ value: Value) {
        for shift in stride(from: Value.bitWidth - 8, through: 0, by: -8) {
            append(UInt8(truncatingIfNeeded: value >> Value(shift)))
        }
    }

    /// The first bytes, padded with zeros to a length.
    fileprivate func padded(to length: Int) -> [UInt8] {
        prefix(length) + [UInt8](repeating: 0, count: Swift.max(length - count, 0))
    }
}
