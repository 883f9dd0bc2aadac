/// One name that is asked for on the host's links, and those who wait for it.
///
/// A lookup lives for a fixed second, answered or not. A question about the same name gets what is
/// known by then, and the number of lookups bounds the traffic on the links. A lookup asks for the
/// addresses of both families, as guests do, because only both answers tell "no such address" from
/// "no such name".
final class MulticastLookup {
    typealias Reply = (MulticastDNS.Response?) -> Void

    /// How long answers are waited for.
    static let lifetime = Duration.seconds(1)
    /// How long the other family's answer may take after the first sign that a name exists.
    static let settlingTime = Duration.milliseconds(250)
    private static let waiterLimit = 64

    private let name: DNSName
    private let links: [MulticastLink]
    private let loop: EventLoop
    private let isUsable: (IPAddress) -> Bool
    private let ended: () -> Void
    private let end: Instant
    private var types: [UInt16: DNSType] = [:]
    private var queriers: [MulticastQuerier] = []
    private var waiters: [(type: DNSType, reply: Reply)] = []
    private var found: [DNSType: MulticastDNS.Response] = [:]
    private var exists = false
    /// Whether all who waited have been answered.
    private var isSettled = false
    private var timer: TimerWheel.Token?

    /// A lookup that has not begun.
    ///
    /// - Parameters:
    ///   - name: Below `local`.
    ///   - links: Where to ask, and where answers may come from.
    ///   - loop: Gives time.
    ///   - isUsable: Whether an address means the same to a guest.
    ///   - ended: Is called once, after a second.
    init(
        _ name: DNSName,
        on links: [MulticastLink],
        loop: EventLoop,
        isUsable: @escaping (IPAddress) -> Bool,
        ended: @escaping () -> Void
    ) {
        self.name = name
        self.links = links
        self.loop = loop
        self.isUsable = isUsable
        self.ended = ended
        end = loop.now + Self.lifetime
    }

    /// Asks all links.
    ///
    /// - Parameters:
    ///   - types: What to ask for.
    ///   - buffer: Scratch memory.
    ///   - random: Gives the identifiers.
    /// - Returns: Whether a query has left; else the lookup is over.
    func start(
        _ types: [DNSType],
        buffer: ReceiveBuffer,
        random: inout any RandomNumberGenerator
    ) -> Bool {
        var queries: [[UInt8]] = []
        for type in types {
            var id = UInt16.random(in: 0...UInt16.max, using: &random)
            while self.types[id] != nil { id &+= 1 }
            self.types[id] = type
            queries.append(MulticastDNS.query(name, type, id: id))
        }
        var sent = 0
        for isIPv6 in [false, true] {
            let suitable = links.filter { isIPv6 ? $0.hasIPv6 : $0.hasIPv4 }
            guard !suitable.isEmpty, let querier = querier(forIPv6: isIPv6, buffer) else {
                continue
            }
            queriers.append(querier)
            for link in suitable {
                sent += queries.count { querier.send($0, on: link) }
            }
        }
        guard sent > 0 else {
            close()
            return false
        }
        timer = loop.schedule(end, observer: self)
        return true
    }

    private func querier(forIPv6 isIPv6: Bool, _ buffer: ReceiveBuffer) -> MulticastQuerier? {
        do {
            return try MulticastQuerier(forIPv6: isIPv6, loop: loop, buffer: buffer) {
                [weak self] message, sender in self?.receive(message, from: sender)
            }
        } catch {
            // A host without the family, or without a descriptor to spare.
            return nil
        }
    }

    /// Answers a question about the name, now or before the second is over.
    ///
    /// - Parameters:
    ///   - type: One of those that the lookup asks for.
    ///   - reply: Is called once; with nil when the name is not known.
    func wait(for type: DNSType, reply: @escaping Reply) {
        if let response = found[type] { return reply(response) }
        if isSettled || waiters.count >= Self.waiterLimit { return reply(denial) }
        waiters.append((type, reply))
    }

    /// Sockets open at the moment.
    var socketCount: Int { queriers.count }

    /// What those learn whose type nobody has.
    private var denial: MulticastDNS.Response? {
        exists ? MulticastDNS.Response(exists: true) : nil
    }

    private func receive(_ message: [UInt8], from sender: Endpoint) {
        guard message.count >= DNSHeader.length, sender.port == MulticastDNS.port,
            let type = types[UInt16(message[0]) << 8 | UInt16(message[1])], found[type] == nil,
            links.contains(where: { $0.contains(sender) }),
            let response = MulticastDNS.response(
                reading: message,
                to: name,
                type,
                where: isUsable
            )
        else { return }
        if !exists {
            exists = true
            if let timer { loop.cancel(timer) }
            timer = loop.schedule(min(loop.now + Self.settlingTime, end), observer: self)
        }
        guard !response.records.isEmpty else { return }
        found[type] = response
        let satisfied = waiters.filter { $0.type == type }
        waiters.removeAll { $0.type == type }
        for waiter in satisfied { waiter.reply(response) }
    }

    /// Stops listening; those who still wait learn what is known.
    func close() {
        if let timer { loop.cancel(timer) }
        timer = nil
        for querier in queriers { querier.close() }
        queriers = []
        settle()
    }

    private func settle() {
        isSettled = true
        let unsatisfied = waiters
        waiters = []
        for waiter in unsatisfied { waiter.reply(denial) }
    }
}

extension MulticastLookup: TimerObserver {
    func timerFired(now: Instant) {
        timer = nil
        guard now >= end else {
            timer = loop.schedule(end, observer: self)
            return settle()
        }
        close()
        ended()
    }
}
