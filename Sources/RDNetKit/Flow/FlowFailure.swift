/// Why a connection, a datagram or a ping did not reach its destination.
enum FlowFailure: String, CountedReason, Sendable {
    /// The host or a router has no route to the destination, or the destination is not there.
    case noRoute = "no_route"
    /// Nothing listens at the destination.
    case refused
    /// The destination did not answer.
    case timedOut = "timed_out"
    /// The host has no address or no free port for the connection.
    case noAddress = "no_address"
    /// The process has no descriptor left.
    case outOfDescriptors = "out_of_descriptors"
    /// A table of this program is full.
    case tableFull = "table_full"
    /// A firewall of the host or of its network.
    case filtered
    /// The egress policy.
    case policy
    /// An option or a built-in rule keeps guests from the destination.
    case blocked
    /// Nothing listens on the guest's port, to which a forward leads.
    case guestRefused = "guest_refused"
    /// The guest, to which a forward leads, does not answer.
    case guestSilent = "guest_silent"
    /// No guest has the address to which a forward leads.
    case guestAbsent = "guest_absent"
    /// Any other error of the host's kernel.
    case other

    static let family = MetricFamily(
        "Failures",
        metric: "failed_connections",
        label: "reason",
        "Connections, datagrams and pings that did not reach their destination, by reason."
    )

    /// The reason that an errno of `connect` or `send` stands for.
    init(errno code: Int32) {
        switch ConnectFault(errno: code) {
        case .refused: self = .refused
        case .unreachable: self = .noRoute
        case .timedOut: self = .timedOut
        case .noAddress: self = .noAddress
        case .outOfDescriptors: self = .outOfDescriptors
        case .denied: self = .filtered
        case .other: self = .other
        }
    }

    /// The reason that an ICMP error stands for; nil if the packet's sender can adapt to it.
    init?(_ kind: ICMPMessage.Kind) {
        switch kind {
        case .destinationUnreachable(.port), .destinationUnreachable(.transport): self = .refused
        case .destinationUnreachable(.administrativelyProhibited): self = .filtered
        case .destinationUnreachable(.fragmentationNeeded): return nil
        case .destinationUnreachable: self = .noRoute
        case .timeExceeded, .parameterProblem, .echoReply, .echoRequest, .other: return nil
        }
    }

    /// The reason for a connection that `Admission` did not let through.
    init(_ reason: DropReason) {
        switch reason {
        case .policy: self = .policy
        case .refusedDestination, .isolated: self = .blocked
        case .full: self = .tableFull
        case .noRoute, .noNeighbor: self = .noRoute
        case .malformed, .badChecksum, .badSource, .takenMAC, .takenAddress, .routerMessage,
            .unknownProtocol, .fragment, .hostError, .unsolicited, .rate:
            self = .other
        }
    }

    /// The reason for a host client that a guest did not accept; nil if it did.
    init?(_ answer: GuestAnswer) {
        switch answer {
        case .connected: return nil
        case .refused: self = .guestRefused
        case .silent: self = .guestSilent
        case .absent, .impossible: self = .guestAbsent
        }
    }

    /// What to do about it, for the log.
    var nextStep: String {
        switch self {
        case .noRoute: "check the host's routes and VPN: ip route get ADDRESS"
        case .refused: "check that the server listens at that address and port"
        case .timedOut: "check the VPN and firewalls between the host and the destination"
        case .noAddress: "check the host's addresses, and its free ports: ss -s"
        case .outOfDescriptors: "raise the limit of open files: ulimit -n"
        case .tableFull: "end connections that are not needed: rdnet ctl flows"
        case .filtered: "check the firewall of the host and its network"
        case .policy: "see the rule that denies it: rdnet ctl policy log"
        case .blocked: "see --allow-link-local, --no-host-loopback and --isolate"
        case .guestRefused: "check that the guest's server listens on that port of eth0"
        case .guestSilent: "check the guest's firewall"
        case .guestAbsent: "check the guest's address: rdnet ctl leases"
        case .other: "see the error"
        }
    }

    /// Whether the network works as it should.
    var isExpected: Bool { [.refused, .policy, .blocked].contains(self) }

    /// Whether a host's client met it at a guest.
    var isOfForward: Bool {
        switch self {
        case .guestRefused, .guestSilent, .guestAbsent: true
        case .noRoute, .refused, .timedOut, .noAddress, .outOfDescriptors, .tableFull, .filtered,
            .policy, .blocked, .other:
            false
        }
    }
}

/// A connection, datagram or ping that did not reach its destination.
struct FailedFlow: Equatable {
    /// TCP, UDP or ICMP.
    var transport: UInt8
    /// The guest's end; port 0 for a ping.
    var guest: Endpoint
    /// The other end as the guest sees it; of a forward, the host's client.
    var remote: Endpoint
    var reason: FlowFailure
    /// The host's errno; 0 if no system call failed.
    var errno: Int32 = 0
    /// The destination's name, where the caller knows it better than DNS.
    var name: String?

    /// `tcp`, `udp` or `icmp`.
    var protocolName: String { IPProtocol.name(of: transport) }

    /// An end as people write it: a ping has no ports.
    func text(of end: Endpoint) -> String { end.textOfEnd }
}
