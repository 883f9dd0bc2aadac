/// The parameters of the near end of a guest's link.
struct LinkTerms {
    /// The largest payload of a frame to a guest.
    var mtu: Int
    /// Compared with the other end's subnet.
    var subnet: Subnet
    /// The gateway's MAC address.
    var mac: MACAddress
    /// The MAC addresses of VPNKit's clients by their UUID in lower case; any other UUID gets a
    /// random MAC address.
    var machines = NetworkSettings.standardMachines
    /// Whether a VPNKit client with the UUID of an earlier one is the same machine: it has the same
    /// MAC address, and its new link takes the place of the old one.
    var knowsMachines = false

    /// Returns the configuration of the host's end of a stream.
    func stream(named name: String, _ format: StreamFormat) -> StreamLink.Configuration {
        StreamLink.Configuration(
            name: name,
            format: format,
            mtu: mtu,
            role: format == .bigEndian32 ? .silent : .accepting,
            subnet: subnet,
            mac: mac
        )
    }
}

/// Listens at an address, of any kind, and creates a link for each guest that connects.
///
/// The listener continues after a link closes. `FrameReceiver.closed` reports the end of a link, so
/// a program that should end with its guest can end there.
final class LinkListener {
    /// Returns the receiver of a new link's frames; nil refuses the link.
    typealias Taking = (any FrameLink) -> (any FrameReceiver)?

    /// Limit on concurrent greetings; further clients are refused.
    private static let maximumGreetings = 64
    /// The time limit for a client's whole greeting.
    private static let patience: Duration = .seconds(10)

    private let address: LinkAddress
    private let terms: LinkTerms
    private let loop: EventLoop
    private let log: Logger
    private let taking: Taking
    private var streams: StreamListener?
    private var datagrams: DatagramListener?
    /// Clients that have not become links yet, by their numbers.
    private var greetings: [Int: HandshakeConnection] = [:]
    private var callers = 0
    private var machines = MachineLinks()

    /// Starts listening; a descriptor that is already connected becomes a link at once.
    ///
    /// - Parameters:
    /// - address: An address to listen at, not one to connect to.
    /// - terms: The parameters of every link.
    /// - loop: The event loop.
    /// - log: Records clients that do not become links.
    /// - limits: Counts clients that find no free descriptor.
    /// - counters: Counts clients, and datagrams without a link.
    /// - taking: Receives each link before it starts.
    /// - Throws: `SystemError` with the address in it.
    init(
        at address: LinkAddress,
        _ terms: LinkTerms,
        loop: EventLoop,
        log: Logger,
        limits: LimitLog = .discarding(),
        counters: ListenerCounters = ListenerCounters(),
        taking: @escaping Taking
    ) throws(SystemError) {
        self.address = address
        self.terms = terms
        self.loop = loop
        self.log = log
        self.taking = taking
        switch address {
        case .stream, .packets, .vhost:
            streams = try LinkOpener.listen(
                at: address,
                loop: loop,
                log: log,
                limits: limits,
                counters: counters
            ) { [unowned self] connection, peer in take(connection, from: peer) }
        case .datagrams(let path):
            datagrams = try DatagramListener(
                path: path,
                mtu: terms.mtu,
                loop: loop,
                log: log,
                counters: counters
            ) { link in taking(link) }
        case .descriptor(let number):
            start(stream(ByteStream(try .inherited(number)), named: "\(address)"))
        case .standardStreams:
            start(stream(try ByteStream.standardStreams(), named: "\(address)"))
        case .connect, .program:
            preconditionFailure("cannot listen on \(address)")
        }
    }

    /// The address and port of a TCP listener; nil for any other.
    var endpoint: Endpoint? { streams?.endpoint }

    /// Whether more guests can connect; false for an address that is a single connection.
    var isWaiting: Bool { streams != nil || datagrams != nil }

    /// Stops listening; all links stay open, except those over a datagram socket.
    func close() {
        streams?.close()
        datagrams?.close()
        for client in greetings.values { client.cancel() }
        greetings = [:]
    }

    // MARK: Connections

    private func take(_ connection: consuming OwnedDescriptor, from peer: Endpoint?) {
        let name = peer.map { "\(address) from \($0)" } ?? "\(address)"
        switch address {
        case .packets:
            let link = PacketLink(connection, named: name, mtu: terms.mtu, loop: loop)
            start(link) { receiver throws(SystemError) in try link.start(for: receiver) }
        case .vhost:
            let link = VhostLink(connection, named: name, mtu: terms.mtu, loop: loop, log: log)
            start(link) { receiver throws(SystemError) in try link.start(for: receiver) }
        case .stream(_, .vpnkit):
            greet(connection, named: name)
        default:
            start(stream(ByteStream(connection), named: name))
        }
    }

    private func stream(_ stream: consuming ByteStream, named name: String) -> StreamLink {
        let format = LinkOpener.format(of: address)
        return StreamLink(stream, terms.stream(named: name, format), loop: loop, log: log)
    }

    private func start(_ link: StreamLink) {
        start(link) { [loop] receiver throws(SystemError) in
            try link.start(for: receiver, now: loop.now)
        }
    }

    @discardableResult
    private func start(
        _ link: any FrameLink,
        _ begin: (any FrameReceiver) throws(SystemError) -> Void
    ) -> (any FrameReceiver)? {
        guard let receiver = taking(link) else {
            link.close()
            return nil
        }
        do throws(SystemError) {
            try begin(receiver)
        } catch {
            link.close()
            receiver.closed(link, reason: "\(error)", now: loop.now)
        }
        return receiver
    }

    // MARK: VPNKit's greeting

    private func greet(_ connection: consuming OwnedDescriptor, named name: String) {
        guard greetings.count < Self.maximumGreetings else {
            return log.warning("too many clients without a greeting", ["link": name])
        }
        callers += 1
        let number = callers
        var named = ""
        let exchange = VPNKitExchange(mtu: terms.mtu) { [unowned self] machine in
            named = machine
            return mac(of: machine)
        }
        let client = HandshakeConnection(
            DialedSocket(descriptor: connection, isConnected: true),
            exchange,
            loop: loop
        ) { [unowned self] result, connection in
            greetings[number] = nil
            switch result {
            case .agreed:
                begin(stream(ByteStream(connection), named: name), of: named)
            case .failed(let fault):
                log.info("client sent no valid greeting", ["link": name, "reason": "\(fault)"])
            }
        }
        greetings[number] = client
        client.start(within: Self.patience)
    }

    private func mac(of machine: String) -> MACAddress {
        if let mac = terms.machines[machine] { return mac }
        var random = SystemRandomNumberGenerator()
        let fresh = MACAddress.local(using: &random)
        return terms.knowsMachines ? machines.mac(of: machine, otherwise: fresh) : fresh
    }

    private func begin(_ link: StreamLink, of machine: String) {
        if terms.knowsMachines { machines.closeLink(of: machine, now: loop.now) }
        let receiver = start(link) { [loop] receiver throws(SystemError) in
            try link.start(for: receiver, now: loop.now)
        }
        if terms.knowsMachines, let receiver { machines.add(link, receiver, of: machine) }
    }
}
