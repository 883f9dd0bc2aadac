/// Reports whether this machine has a default route for IPv6, now and after each change.
///
/// The kernel is asked as a program would: whether it could send to some address of the internet.
/// No packet is sent.
final class HostRouteWatch {
    /// An address of the part of the address space that is in use (RFC 4291, 2.4).
    private static let elsewhere = Endpoint(
        address: IPAddress(high: 0x2000_0000_0000_0000, low: 1),
        port: 9
    )
    /// The same of IPv4.
    private static let elsewhereIPv4 = Endpoint(address: IPAddress(ipv4: 0x0100_0001), port: 9)

    private var monitor: NetlinkMonitor?
    private let changed: (Bool) -> Void
    /// Whether there was a route when the kernel was last asked.
    private(set) var hasRoute = false

    /// Starts to watch the calling thread's network namespace.
    ///
    /// - Parameters:
    ///   - loop: The loop that reports changes; it retains this object until `close`.
    ///   - changed: Receives each new answer.
    /// - Throws: `SystemError`.
    init(loop: EventLoop, changed: @escaping (Bool) -> Void) throws(SystemError) {
        self.changed = changed
        monitor = try NetlinkMonitor([.ipv6Routes], loop: loop) { [weak self] _ in self?.ask() }
        hasRoute = Self.canReachInternet
    }

    /// Stops watching.
    func close() {
        monitor?.close()
        monitor = nil
    }

    private func ask() {
        let hasRoute = Self.canReachInternet
        guard hasRoute != self.hasRoute else { return }
        self.hasRoute = hasRoute
        changed(hasRoute)
    }

    /// Whether the calling thread's network namespace has a default route for IPv6.
    static var canReachInternet: Bool { canReachInternet(isIPv4: false) }

    /// Whether the calling thread's network namespace has a default route of a family.
    static func canReachInternet(isIPv4: Bool) -> Bool {
        do {
            _ = try Socket.connectedDatagram(to: isIPv4 ? elsewhereIPv4 : elsewhere)
            return true
        } catch {
            return false
        }
    }
}
