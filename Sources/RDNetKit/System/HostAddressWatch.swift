/// Reports addresses that this machine has lost, such as when a VPN disconnects.
///
/// How it works: a netlink monitor collects removed addresses. A few seconds later, those that have
/// not come back are reported: a DHCP client or a reconnected Wi-Fi may remove an address and add
/// it again, and connections survive that. Addresses whose meaning depends on an interface
/// (link-local ones) are ignored. See rtnetlink(7).
final class HostAddressWatch: TimerObserver {
    /// How long an address may be missing.
    static let patience: Duration = .seconds(3)
    /// Limit on collected addresses; beyond it, every address counts as possibly lost.
    private static let maximumRemoved = 256

    private let loop: EventLoop
    private let lost: (LostAddresses) -> Void
    private var monitor: NetlinkMonitor?
    private var removed: Set<IPAddress> = []
    /// Whether notifications were lost.
    private var isIncomplete = false
    private var timer: TimerWheel.Token?

    /// Starts to watch the calling thread's network namespace.
    ///
    /// - Parameters:
    ///   - loop: The loop that reports changes; it retains this object until `close`.
    ///   - lost: Receives the lost addresses, at least one unless some are unknown.
    /// - Throws: `SystemError`.
    init(
        loop: EventLoop,
        lost: @escaping (LostAddresses) -> Void
    ) throws(SystemError) {
        self.loop = loop
        self.lost = lost
        monitor = try NetlinkMonitor([.ipv4Addresses, .ipv6Addresses], loop: loop) {
            [weak self] messages in self?.changed(messages)
        }
    }

    /// Stops watching.
    func close() {
        monitor?.close()
        monitor = nil
        if let timer { loop.cancel(timer) }
        timer = nil
    }

    private func changed(_ messages: [NetlinkMessage]?) {
        if messages == nil { isIncomplete = true }
        for message in messages ?? [] where message.type == NetlinkType.deleteAddress {
            guard let address = message.interfaceAddress, !address.isLinkLocal,
                !address.isLoopback
            else { continue }
            if removed.count < Self.maximumRemoved {
                removed.insert(address)
            } else {
                isIncomplete = true
            }
        }
        guard isIncomplete || !removed.isEmpty, timer == nil else { return }
        timer = loop.schedule(loop.now + Self.patience, observer: self)
    }

    func timerFired(now: Instant) {
        timer = nil
        let addresses = LostAddresses(
            among: removed.filter { Socket.isForeign($0) },
            isIncomplete: isIncomplete
        )
        removed = []
        isIncomplete = false
        if !addresses.isEmpty { lost(addresses) }
    }
}

/// Addresses that the machine had and has no more.
struct LostAddresses: CustomStringConvertible {
    /// The addresses that are known.
    private let known: Set<IPAddress>
    private let isIncomplete: Bool

    fileprivate init(among known: Set<IPAddress>, isIncomplete: Bool) {
        self.known = known
        self.isIncomplete = isIncomplete
    }

    /// `10.8.0.2, fd00::2`.
    var description: String {
        let list = known.map { "\($0)" }.sorted() + (isIncomplete ? ["others"] : [])
        return list.joined(separator: ", ")
    }

    fileprivate var isEmpty: Bool { known.isEmpty && !isIncomplete }

    /// Whether a socket's local address is lost; false for a unix socket.
    func contain(localAddressOf socket: borrowing OwnedDescriptor) -> Bool {
        do {
            guard let address = try Socket.localAddress(socket).endpoint?.address,
                !address.isLoopback, !address.isUnspecified, !address.isLinkLocal
            else { return false }
            return known.contains(address) || isIncomplete && Socket.isForeign(address)
        } catch {
            return false
        }
    }
}
