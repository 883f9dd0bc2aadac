/// Restores an interface's addresses and routes when they disappear.
///
/// How it works: a netlink monitor reports changes of the interface and of routes. After a
/// moment, in which another program can finish its work, the restorer compares the interface with
/// the lease. It adds what is missing: for example, `ip link set eth0 down` removes all routes and
/// IPv6 addresses, and `up` does not bring them back. It leaves an interface alone that is down, or
/// where another program has set another address or route. Each restoration doubles the moment, up
/// to a minute, so two programs never fight in a loop.
final class LinkRestorer: TimerObserver {
    /// The time between a change and the restoration.
    static let settling: Duration = .milliseconds(500)
    private static let maximumDelay: Duration = .seconds(60)
    /// The time without a restoration after which the next one is quick again.
    private static let quiet: Duration = .seconds(600)

    private let configuration: LinkConfiguration
    private let interface: String
    private let loop: EventLoop
    private let log: Logger
    private var monitor: NetlinkMonitor?
    private var timer: TimerWheel.Token?
    private var delay = LinkRestorer.settling
    private var lastRestoration: Instant?
    /// What another program configured, as last logged; nil if nothing.
    private var replacement: String?

    /// Starts to watch the interface in the calling thread's network namespace.
    ///
    /// - Parameters:
    ///   - configuration: The interface's configuration.
    ///   - interface: The name of an existing interface.
    ///   - loop: The loop that reports changes; it retains this object until `close`.
    ///   - log: Receives one line for each restoration or foreign configuration.
    /// - Throws: `SystemError`: ENODEV if the interface does not exist.
    init(
        _ configuration: LinkConfiguration,
        interface: String,
        loop: EventLoop,
        log: Logger
    ) throws(SystemError) {
        self.configuration = configuration
        self.interface = interface
        self.loop = loop
        self.log = log
        var netlink = try Netlink()
        let link = try netlink.link(named: interface).index
        let groups: NetlinkMonitor.Groups = [
            .links, .ipv4Addresses, .ipv4Routes, .ipv6Addresses, .ipv6Routes,
        ]
        monitor = try NetlinkMonitor(groups, loop: loop) { [weak self] messages in
            guard let self else { return }
            let concerns = messages?.contains { $0.mayConcern(link: link) } ?? true
            if concerns { changed() }
        }
    }

    /// Stops watching.
    func close() {
        monitor?.close()
        monitor = nil
        if let timer { loop.cancel(timer) }
        timer = nil
    }

    private func changed() {
        if let lastRestoration, loop.now - lastRestoration >= Self.quiet { delay = Self.settling }
        check(after: delay)
    }

    private func check(after delay: Duration) {
        guard timer == nil else { return }
        timer = loop.schedule(loop.now + delay, observer: self)
    }

    func timerFired(now: Instant) {
        timer = nil
        do throws(SystemError) {
            switch try configuration.condition() {
            case .complete: replacement = nil
            case .unusable: break
            case .missing(let part): try restore(part, now: now)
            case .replaced(let other): yield(to: other)
            }
        } catch {
            log.error("\(interface): \(error)")
            check(after: delay)
        }
    }

    private func restore(_ part: String, now: Instant) throws(SystemError) {
        replacement = nil
        lastRestoration = now
        delay = min(delay * 2, Self.maximumDelay)
        try configuration.restore()
        log.warning("\(interface): configuration was removed; restored it", ["missing": part])
    }

    private func yield(to other: String) {
        guard other != replacement else { return }
        replacement = other
        log.warning(
            "\(interface): another program configured it; leaving it alone",
            ["found": other]
        )
    }
}
