/// What a stub of `port-proxy` asks the shared process to do with the socket that comes with it.
///
/// The message is a packet of text: the transport, a space, and the container's endpoint. The
/// answer is a packet, too: `0`, or the reason for a refusal.
struct PortProxyRequest: Equatable {
    /// Limit on an answer in bytes.
    static let maximumAnswer = 512

    var transport: ForwardProtocol
    var container: Endpoint

    init(transport: ForwardProtocol, container: Endpoint) {
        self.transport = transport
        self.container = container
    }

    /// Parses a message; nil if it is malformed.
    init?(_ octets: [UInt8]) {
        let words = octets.split(separator: UInt8(ascii: " "), maxSplits: 1)
        guard words.count == 2,
            let transport = ForwardProtocol(rawValue: String(decoding: words[0], as: UTF8.self)),
            transport != .unix,
            let container = Endpoint(String(decoding: words[1], as: UTF8.self))
        else { return nil }
        self.init(transport: transport, container: container)
    }

    /// The message.
    var octets: [UInt8] { Array("\(transport) \(container)".utf8) }
}
