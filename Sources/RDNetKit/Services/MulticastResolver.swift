/// Looks up names below `local` on the host's links when the host's resolvers do not know them.
///
/// The resolver sends one-shot queries (RFC 6762, section 5.1) to both groups on every link that
/// can carry them, and takes the first answer. An answer must come from port 5353 of a machine on
/// the link, and must match the query's identifier, name and type. The resolver builds the guest's
/// answer from the records; nothing else of a responder's message reaches a guest. Limits apply to
/// the concurrent names, the links, the datagrams per name, the records of an answer, and the time
/// (one second).
final class MulticastResolver {
    /// Limit on concurrent lookups; each lasts one second.
    static let lookupLimit = 32
    private static let linksLifetime = Duration.seconds(1)

    private struct Key: Hashable {
        var name: DNSName
        var isPointer: Bool
    }

    private(set) var counters = Counters()
    private let loop: EventLoop
    private let limitLog: LimitLog
    private let isUsable: (IPAddress) -> Bool
    private let buffer: ReceiveBuffer
    private var random: any RandomNumberGenerator
    private var lookups: [Key: MulticastLookup] = [:]
    private var links: [MulticastLink] = []
    private var linksEnd: Instant?

    /// Creates a resolver without lookups.
    ///
    /// - Parameters:
    ///   - loop: The event loop.
    ///   - buffer: Scratch memory.
    ///   - random: Generates identifiers.
    ///   - limitLog: Counts names beyond the limit.
    ///   - isUsable: Whether an address means the same to a guest.
    init(
        loop: EventLoop,
        buffer: ReceiveBuffer,
        random: any RandomNumberGenerator,
        reporting limitLog: LimitLog,
        isUsable: @escaping (IPAddress) -> Bool
    ) {
        self.loop = loop
        self.buffer = buffer
        self.random = random
        self.limitLog = limitLog
        self.isUsable = isUsable
    }

    /// The number of open sockets.
    var socketCount: Int { lookups.values.reduce(0) { $0 + $1.socketCount } }

    /// Replaces a resolver's answer if it does not know the name.
    ///
    /// - Parameters:
    ///   - answer: The resolver's answer, or a failure created locally.
    ///   - query: A query about a name that `MulticastDNS.serves`.
    ///   - reply: Called once; with `answer` itself if it is conclusive or the links do not know
    ///     the name.
    func complete(
        _ answer: [UInt8],
        to query: DNSQuery,
        reply: @escaping ([UInt8]) -> Void
    ) {
        guard Self.knowsNothing(answer) else { return reply(answer) }
        lookUp(query.question) { [weak self] response in
            guard let response else { return reply(answer) }
            if !response.records.isEmpty { self?.counters.answered += 1 }
            let zone = query.question.name.offset(of: MulticastDNS.domain) ?? 0
            reply(
                query.answer(
                    .noError,
                    response.records,
                    zone: zone,
                    timeToLive: response.timeToLive
                )
            )
        }
    }

    /// Whether an answer is a failure, or a denial that does not come from a company's own `local`
    /// zone.
    private static func knowsNothing(_ answer: [UInt8]) -> Bool {
        guard answer.count >= DNSHeader.length else { return false }
        let flags = DNSFlags(rawValue: UInt16(answer[2]) << 8 | UInt16(answer[3]))
        return switch flags.responseCode {
        case .serverFailure, .refused: true
        case .nameError: !DNSName.isLocalZoneDenial(answer)
        default: false
        }
    }

    private func lookUp(_ question: DNSQuestion, reply: @escaping MulticastLookup.Reply) {
        let key = Key(name: question.name, isPointer: question.type == .ptr)
        if let lookup = lookups[key] { return lookup.wait(for: question.type, reply: reply) }
        guard lookups.count < Self.lookupLimit else {
            limitLog.reached(.mdnsNames, maximum: Self.lookupLimit)
            return reply(nil)
        }
        let lookup = MulticastLookup(
            question.name,
            on: currentLinks(),
            loop: loop,
            isUsable: isUsable,
            ended: { [weak self] in self?.lookups[key] = nil }
        )
        let types: [DNSType] = key.isPointer ? [.ptr] : [.a, .aaaa]
        guard lookup.start(types, buffer: buffer, random: &random) else { return reply(nil) }
        counters.lookups += 1
        lookups[key] = lookup
        lookup.wait(for: question.type, reply: reply)
    }

    /// Returns the host's links, refreshed after a second.
    private func currentLinks() -> [MulticastLink] {
        let now = loop.now
        if let linksEnd, now < linksEnd { return links }
        links = MulticastLink.all()
        linksEnd = now + Self.linksLifetime
        return links
    }
}
