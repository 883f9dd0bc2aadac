/// The first bytes of a stream, which show what kind of program is at the other end.
///
/// People start the two ends with different kinds of links. The framing then never fits, and
/// whether it is lost at once, or the reader waits forever for the rest of a long frame, depends on
/// chance. But every framing puts an Ethernet header at a known place.
struct StreamOpening {
    /// What the first bytes are.
    enum Kind: Equatable {
        case frame(StreamFormat)
        case vpnkitGreeting
        case httpRequest
    }

    /// The longest prefix of a plain frame, and an Ethernet header.
    static let length = 4 + EthernetHeader.length
    private static let methods = ["GET ", "POST ", "PUT ", "HEAD ", "DELETE ", "CONNECT "]
    private static let greeting = "VMN3T"
    /// Longer frames are not what systems send first; a short length with its bytes swapped is one.
    private static let longestFirstFrame = 9_216 + EthernetHeader.length
    /// What systems send first.
    private static let etherTypes: [UInt16] = [
        EthernetHeader.Kind.ipv4, EthernetHeader.Kind.arp, EthernetHeader.Kind.ipv6,
        EthernetHeader.Kind.taggedFrame, EthernetHeader.Kind.experimental,
    ]

    private let start: [UInt8]

    /// Reads the start of a stream; nil if it is shorter than `length`.
    init?(_ start: [UInt8]) {
        guard start.count >= Self.length else { return nil }
        self.start = start
    }

    private func isFrame(_ format: StreamFormat, upTo longest: Int) -> Bool {
        let octets = start.span.bytes
        guard let length = format.frameLength(octets, at: 0),
            (EthernetHeader.length...longest).contains(length)
        else { return false }
        return Self.etherTypes.contains(octets.bigEndian(at: format.prefixLength + 12))
    }

    private func kind(otherThan format: StreamFormat) -> Kind? {
        if start.starts(with: Self.greeting.utf8) { return .vpnkitGreeting }
        if Self.methods.contains(where: { start.starts(with: $0.utf8) }) { return .httpRequest }
        let others = [StreamFormat.littleEndian16, .bigEndian32].filter { $0 != format }
        return others.first { isFrame($0, upTo: Self.longestFirstFrame) }.map { .frame($0) }
    }

    /// Returns what the stream is instead of frames in a format; nil if it may be that.
    func contradiction(of format: StreamFormat) -> String? {
        guard !isFrame(format, upTo: Frame.maximumReceivedLength),
            let kind = kind(otherThan: format)
        else { return nil }
        switch kind {
        case .frame(.bigEndian32):
            return "the other end frames as QEMU does; expected qemu+ at both ends or at neither"
        case .frame:
            return "the other end frames as gvproxy does; expected qemu+ at both ends or at neither"
        case .vpnkitGreeting:
            return "the other end greets as VPNKit's clients do; expected a link with vpnkit+"
        case .httpRequest:
            return "the other end sends HTTP; expected frames (the API has an address of its own)"
        }
    }
}
