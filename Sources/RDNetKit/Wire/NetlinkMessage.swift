/// Types of rtnetlink messages (linux/netlink.h, linux/rtnetlink.h).
enum NetlinkType {
    static let error: UInt16 = 2
    static let done: UInt16 = 3
    static let newLink: UInt16 = 16
    static let deleteLink: UInt16 = 17
    static let getLink: UInt16 = 18
    static let newAddress: UInt16 = 20
    static let deleteAddress: UInt16 = 21
    static let getAddress: UInt16 = 22
    static let newRoute: UInt16 = 24
    static let deleteRoute: UInt16 = 25
    static let getRoute: UInt16 = 26
}

/// Flags of a request (`nlmsg_flags`).
struct NetlinkFlags: OptionSet, Sendable {
    let rawValue: UInt16

    static let request = NetlinkFlags(rawValue: 0x001)
    static let acknowledge = NetlinkFlags(rawValue: 0x004)
    /// List all objects (NLM_F_DUMP).
    static let dump = NetlinkFlags(rawValue: 0x300)
    static let replace = NetlinkFlags(rawValue: 0x100)
    /// Fail if the object exists.
    static let exclusive = NetlinkFlags(rawValue: 0x200)
    static let create = NetlinkFlags(rawValue: 0x400)
}

/// The address families of address and route messages (AF_ in socket(2)).
enum NetlinkFamily: UInt8, Sendable {
    case ipv4 = 2
    case ipv6 = 10

    init(of address: IPAddress) {
        self = address.isIPv4 ? .ipv4 : .ipv6
    }
}

/// Attribute types; numbers mean different things in link, address and route messages.
enum NetlinkAttribute {
    enum Link {
        static let address: UInt16 = 1
        static let name: UInt16 = 3
        static let mtu: UInt16 = 4
        static let transmitQueueLength: UInt16 = 13
        /// Nested: the interface's kind (`kind`) and its attributes (`kindDetails`).
        static let description: UInt16 = 18
        /// The network namespace to move the interface to, as a descriptor of the sender.
        static let namespaceDescriptor: UInt16 = 28
        static let gsoMaxSize: UInt16 = 41
        /// Since Linux 6.3; older kernels skip it.
        static let gsoIPv4MaxSize: UInt16 = 63
    }

    /// Nested in link information (linux/if_link.h, linux/veth.h).
    enum LinkDescription {
        static let kind: UInt16 = 1
        static let kindDetails: UInt16 = 2
        /// Nested in a veth's attributes.
        static let vethPeer: UInt16 = 1
    }

    enum Address {
        static let address: UInt16 = 1
        static let local: UInt16 = 2
        static let broadcast: UInt16 = 4
    }

    enum Route {
        static let destination: UInt16 = 1
        static let outputInterface: UInt16 = 4
        static let gateway: UInt16 = 5
        static let table: UInt16 = 15
    }
}

/// A netlink message under construction: header, the family's fixed part, attributes.
///
///     nlmsghdr: length 4, type 2, flags 2, sequence 4, port 4
///     rtattr:   length 2, type 2, value, padding to 4
///
/// Integers are in host byte order (netlink(7)), addresses in network byte order.
struct NetlinkRequest {
    private var body: [UInt8]
    private let type: UInt16
    private let flags: NetlinkFlags
    /// The routing table that `ip route` shows (RT_TABLE_MAIN).
    static let mainTable: UInt32 = 254

    private init(_ type: UInt16, _ flags: NetlinkFlags, body: [UInt8]) {
        self.type = type
        self.flags = flags.union(.request)
        self.body = body
    }

    /// Begins a message about a link (`struct ifinfomsg`, 16 octets).
    ///
    /// - Parameters:
    ///   - type: NEWLINK, DELLINK or GETLINK.
    ///   - flags: In addition to the request flag.
    ///   - link: The interface's index; 0 to name it by an attribute.
    ///   - interfaceFlags: IFF_ flags to set among those in `changing`.
    ///   - changing: Which IFF_ flags change.
    init(
        link type: UInt16,
        _ flags: NetlinkFlags,
        link: UInt32 = 0,
        interfaceFlags: UInt32 = 0,
        changing: UInt32 = 0
    ) {
        var body: [UInt8] = [0, 0, 0, 0]
        body.appendNative(link)
        body.appendNative(interfaceFlags)
        body.appendNative(changing)
        self.init(type, flags, body: body)
    }

    /// Begins a message about an address (`struct ifaddrmsg`, 8 bytes).
    ///
    /// An IPv6 address is usable at once: duplicate address detection takes a second.
    init(
        address type: UInt16,
        _ flags: NetlinkFlags,
        family: NetlinkFamily,
        prefixLength: UInt8 = 0,
        link: UInt32
    ) {
        // IFA_F_NODAD.
        let addressFlags: UInt8 = family == .ipv6 ? 2 : 0
        let universe: UInt8 = 0
        var body = [family.rawValue, prefixLength, addressFlags, universe]
        body.appendNative(link)
        self.init(type, flags, body: body)
    }

    /// Begins a message about a default route (`struct rtmsg`, 12 bytes).
    ///
    /// Main table, boot protocol, universe scope, unicast, as `ip route` creates it.
    init(
        defaultRoute type: UInt16,
        _ flags: NetlinkFlags,
        family: NetlinkFamily,
        onLink: Bool = false
    ) {
        let (bootProtocol, unicast): (UInt8, UInt8) = (3, 1)
        let table = UInt8(Self.mainTable)
        var body = [family.rawValue, 0, 0, 0, table, bootProtocol, 0, unicast]
        // RTNH_F_ONLINK: the gateway need not be in the interface's subnet.
        body.appendNative(onLink ? 4 : 0 as UInt32)
        self.init(type, flags, body: body)
    }

    mutating func append(_ attribute: UInt16, _ value: [UInt8]) {
        body.appendNative(UInt16(truncatingIfNeeded: 4 + value.count))
        body.appendNative(attribute)
        body += value
        body += [UInt8](repeating: 0, count: (4 - value.count % 4) % 4)
    }

    mutating func append(_ attribute: UInt16, _ value: UInt32) {
        var octets: [UInt8] = []
        octets.appendNative(value)
        append(attribute, octets)
    }

    mutating func append(_ attribute: UInt16, _ address: IPAddress) {
        append(attribute, address.octets)
    }

    /// A string with the terminating NUL that the kernel expects.
    mutating func append(_ attribute: UInt16, _ text: String) {
        append(attribute, Array(text.utf8) + [0])
    }

    /// Nested attributes.
    mutating func append(_ attribute: UInt16, list: (inout NetlinkRequest) -> Void) {
        let start = body.count
        append(attribute, [])
        list(&self)
        // Sound: an integer's memory is read as octets.
        withUnsafeBytes(of: UInt16(truncatingIfNeeded: body.count - start)) { length in
            body.replaceSubrange(start..<(start + 2), with: length)
        }
    }

    /// The fixed part of a link inside an attribute (`struct ifinfomsg`, 16 bytes).
    mutating func appendLinkWithin() {
        body += [UInt8](repeating: 0, count: 16)
    }

    /// The whole message.
    func octets(sequence: UInt32) -> [UInt8] {
        var octets: [UInt8] = []
        octets.appendNative(UInt32(truncatingIfNeeded: NetlinkMessage.headerLength + body.count))
        octets.appendNative(type)
        octets.appendNative(flags.rawValue)
        octets.appendNative(sequence)
        octets.appendNative(0 as UInt32)
        return octets + body
    }
}

/// A netlink message from the kernel.
struct NetlinkMessage: Equatable {
    static let headerLength = 16

    var type: UInt16
    var sequence: UInt32
    /// The payload after the header.
    var body: [UInt8]

    /// Splits one received buffer; a message with a wrong length ends the list.
    static func messages(reading octets: RawSpan) -> [NetlinkMessage] {
        var messages: [NetlinkMessage] = []
        var offset = 0
        while octets.byteCount - offset >= headerLength {
            let length = Int(octets.native(at: offset, as: UInt32.self))
            guard length >= headerLength, length <= octets.byteCount - offset else { break }
            messages.append(
                NetlinkMessage(
                    type: octets.native(at: offset + 4),
                    sequence: octets.native(at: offset + 8),
                    body: octets.array((offset + headerLength)..<(offset + length))
                )
            )
            offset += min((length + 3) & ~3, octets.byteCount - offset)
        }
        return messages
    }

    /// The errno of an NLMSG_ERROR, 0 for an acknowledgment; nil for other messages.
    var errorNumber: Int32? {
        guard type == NetlinkType.error, body.count >= 4 else { return nil }
        let code = Int32(bitPattern: body.span.bytes.native(at: 0))
        return code == .min ? nil : -code
    }

    /// The interface index of a link or address message; nil for a short one.
    var link: UInt32? {
        body.count >= 8 ? body.span.bytes.native(at: 4) : nil
    }

    /// The IFF_ flags of a link message; nil for a short one.
    var interfaceFlags: UInt32? {
        body.count >= 16 ? body.span.bytes.native(at: 8) : nil
    }

    /// What kind of interface a link message describes, such as `veth` and `tun`; nil for one of
    /// the hardware.
    var linkKind: String? {
        guard let description = attribute(NetlinkAttribute.Link.description, after: 16) else {
            return nil
        }
        let list = NetlinkMessage(type: type, sequence: sequence, body: description)
        return list.attribute(NetlinkAttribute.LinkDescription.kind, after: 0)
            .map { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }

    /// The prefix length of an address message or of a route's destination; nil for a short one.
    var prefixLength: Int? {
        body.count >= 8 ? Int(body[1]) : nil
    }

    /// The value of the first attribute of a kind.
    ///
    /// - Parameters:
    ///   - kind: Which.
    ///   - fixedLength: Bytes of the family's fixed part before the attributes.
    /// - Returns: The value; nil if it is absent or follows an attribute with a wrong length.
    func attribute(_ kind: UInt16, after fixedLength: Int) -> [UInt8]? {
        let octets = body.span.bytes
        var offset = fixedLength
        while octets.byteCount - offset >= 4 {
            let length = Int(octets.native(at: offset, as: UInt16.self))
            guard length >= 4, length <= octets.byteCount - offset else { return nil }
            // The two high bits are flags (NLA_F_NESTED, NLA_F_NET_BYTEORDER).
            if octets.native(at: offset + 2, as: UInt16.self) & 0x3fff == kind {
                return octets.array((offset + 4)..<(offset + length))
            }
            offset += (length + 3) & ~3
        }
        return nil
    }
}

extension RawSpan {
    /// Reads one integer in host byte order; traps beyond the end.
    fileprivate func native<Value: FixedWidthInteger & BitwiseCopyable>(
        at offset: Int,
        as type: Value.Type = Value.self
    ) -> Value {
        // Sound: integers have no invalid bit patterns, and the load is bounds-checked.
        unsafeLoadUnaligned(fromByteOffset: offset, as: Value.self)
    }
}

extension [UInt8] {
    fileprivate mutating func appendNative(_ value: some FixedWidthInteger) {
        // Sound: an integer's memory is read as octets.
        Swift.withUnsafeBytes(of: value) { append(contentsOf: $0) }
    }
}
