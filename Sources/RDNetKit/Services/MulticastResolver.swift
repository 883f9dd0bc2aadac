/// Finds names below `local` on the host's links when the host's resolvers do not know them.
///
/// It sends one-shot queries (RFC 6762, section 5.1) to both groups on every link that can carry
/// them, and takes the first answer. An answer must come from port 5353 of a machine on the link,
/// and match the query's identifier, name and type. The guest's answer is made anew from the
/// records; nothing else of a responder's message reaches a guest.
/// Limits: names at a time, links, datagrams for each name, records of an answer, one second.
final class MulticastResolver {
    /// How many names are looked up at a time; each takes its second.
    static let lookupLimit = 32
    private static let linksLifetime = Duration.seconds(1)

    /// What has happened so far.
    struct Counters: Equatable {
        /// Names that were asked for on the links.
        var lookups = 0
        /// Questions answered with records.
        var answered = 0
    }

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

    /// A resolver without lookups.
    ///
    /// - Parameters:
    ///   - loop: Gives time, and watches sockets.
    ///   - buffer: Scratch memory.
    ///   - random: Gives identifiers.
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

    /// Sockets open at the moment.
    var socketCount: Int { lookups.values.reduce(0) { $0 + $1.socketCount } }

    /// Replaces a resolver's answer that knows nothing.
    ///
    /// - Parameters:
    ///   - answer: The resolver's, or a failure made here.
    ///   - query: About a name that `MulticastDNS.serves`.
    ///   - reply: Is called once, with the answer itself when it says something or the links know
    ///     nothing.
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

    /// Whether it is a failure, or a denial that does not come from a company's own `local` zone.
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

    /// The host's links, looked at again after a second.
    private func currentLinks() -> [MulticastLink] {
        let now = loop.now
        if let linksEnd, now < linksEnd { return links }
        links = MulticastLink.all()
        linksEnd = now + Self.linksLifetime
        return links
    }
}
