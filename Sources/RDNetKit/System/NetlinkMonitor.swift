internal import CLinux
internal import Glibc

/// Reports changes of interfaces, addresses and routes in one network namespace.
///
/// It watches the namespace in which it was created, whatever namespace the thread enters later.
/// The kernel drops notifications when a program makes changes faster than this process reads them;
/// then `changed` gets nil, and the receiver has to look at the current state. See rtnetlink(7).
final class NetlinkMonitor: ReadinessObserver {
    /// The notifications to receive (RTMGRP_… in linux/rtnetlink.h).
    struct Groups: OptionSet, Sendable {
        let rawValue: UInt32

        static let links = Groups(rawValue: 0x1)
        static let ipv4Addresses = Groups(rawValue: 0x10)
        static let ipv4Routes = Groups(rawValue: 0x40)
        static let ipv6Addresses = Groups(rawValue: 0x100)
        static let ipv6Routes = Groups(rawValue: 0x400)
    }

    private static let datagramsPerTurn = 16
    private static let bufferSize = 32_768

    private let descriptor: OwnedDescriptor
    private let loop: EventLoop
    private let changed: ([NetlinkMessage]?) -> Void
    private var watch: EventLoop.Watch?

    /// Starts to watch the calling thread's network namespace.
    ///
    /// - Parameters:
    ///   - groups: The notifications to receive.
    ///   - loop: The loop that reports them; it retains this object until `close`.
    ///   - changed: Receives the notifications of one turn; nil if some were lost.
    /// - Throws: `SystemError`.
    init(
        _ groups: Groups,
        loop: EventLoop,
        changed: @escaping ([NetlinkMessage]?) -> Void
    ) throws(SystemError) {
        descriptor = try Socket.make(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE)
        self.loop = loop
        self.changed = changed
        var address = sockaddr_nl()
        address.nl_family = sa_family_t(AF_NETLINK)
        address.nl_groups = groups.rawValue
        let number = descriptor.number
        try systemCall("bind netlink") {
            // Sound: the pointer is valid during the call, and the length is the structure's.
            withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    bind(number, $0, socklen_t(MemoryLayout<sockaddr_nl>.size))
                }
            }
        }
        watch = try loop.watch(number, for: .readable, observer: self)
    }

    /// Stops watching.
    func close() {
        if let watch { loop.forget(watch) }
        watch = nil
    }

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        var messages: [NetlinkMessage]? = []
        // The loop reports the remaining datagrams again.
        for _ in 0..<Self.datagramsPerTurn {
            do {
                guard let received = try receive() else { break }
                messages?.append(contentsOf: received)
            } catch {
                // ENOBUFS: notifications were lost; the next read continues after them.
                messages = nil
            }
        }
        if messages?.isEmpty != true { changed(messages) }
    }

    private func receive() throws(SystemError) -> [NetlinkMessage]? {
        var buffer = [UInt8](repeating: 0, count: Self.bufferSize)
        var sender = sockaddr_nl()
        var length = socklen_t(MemoryLayout<sockaddr_nl>.size)
        let number = descriptor.number
        let count = try attempt("netlink receive") {
            // Sound: the pointer is valid during the call, and the length is the structure's.
            withUnsafeMutablePointer(to: &sender) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    recvfrom(number, &buffer, Self.bufferSize, 0, $0, &length)
                }
            }
        }
        guard let count else { return nil }
        // Only the kernel has port 0; a privileged process may send to this socket, too.
        guard sender.nl_pid == 0 else { return [] }
        return NetlinkMessage.messages(reading: buffer.span.bytes.extracting(0..<count))
    }
}
