/// A lookup of one name on the host's links, and the requests that wait for it.
///
/// A lookup lasts exactly one second, answered or not. Later questions about the same name get the
/// result so far, and the limit on lookups bounds the traffic on the links. A lookup queries the
/// addresses of both families, as guests do, because only both answers distinguish "no such
/// address" from "no such name".
final class MulticastLookup {
    typealias Reply = (MulticastDNS.Response?) -> Void

    /// The time for which the lookup waits for answers.
    static let lifetime = Duration.seconds(1)
    /// The time for the other family's answer after the first sign that a name exists.
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
    /// Whether all waiting requests have been answered.
    private var isSettled = false
    private var timer: TimerWheel.Token?

    /// Creates a lookup that has not started.
    ///
    /// - Parameters:
    ///   - name: A name below `local`.
    ///   - links: The links to query, from which answers may come.
    ///   - loop: The event loop.
    ///   - isUsable: Whether an address means the same to a guest.
    ///   - ended: Called once, after a second.
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

    /// Sends queries on all links.
    ///
    /// - Parameters:
    ///   - types: The record types to query.
    ///   - buffer: Scratch memory.
    ///   - random: Generates the identifiers.
    /// - Returns: Whether a query was sent; if not, the lookup is over.
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
            // The host lacks the address family, or no descriptor is free.
            return nil
        }
    }

    /// Answers a question about the name, at once or within the second.
    ///
    /// - Parameters:
    ///   - type: One of the types that the lookup queries.
    ///   - reply: Called once; with nil if the name is unknown.
    func wait(for type: DNSType, reply: @escaping Reply) {
        if let response = found[type] { return reply(response) }
        if isSettled || waiters.count >= Self.waiterLimit { return reply(denial) }
        waiters.append((type, reply))
    }

    /// The number of open sockets.
    var socketCount: Int { queriers.count }

    /// The response for a type without an answer.
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

    /// Stops listening; requests that still wait get the result so far.
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
