/// What the near end of a guest's link has to know of the network.
struct LinkTerms {
    /// The largest payload of a frame to a guest.
    var mtu: Int
    /// For the comparison with the other end's.
    var subnet: Subnet
    /// The gateway's.
    var mac: MACAddress
    /// What VPNKit's clients are called, by the UUID that they tell, in lower case; others get an
    /// address of chance.
    var machines = NetworkSettings.standardMachines

    /// How the host's end of a stream is set up.
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

/// An address at which guests connect: whatever it is, each guest comes out of it as a link.
///
/// The listener goes on when a link ends. What ends is told to whoever takes the link's frames
/// (`FrameReceiver.closed`): the one who wants to end with its guest ends there.
final class LinkListener {
    /// Says who takes a new link's frames; nil refuses the link.
    typealias Taking = (any FrameLink) -> (any FrameReceiver)?

    /// Greetings under way at once; more callers than that are turned away.
    private static let maximumGreetings = 64
    /// How long a caller may take for all it has to say.
    private static let patience: Duration = .seconds(10)

    private let address: LinkAddress
    private let terms: LinkTerms
    private let loop: EventLoop
    private let log: Logger
    private let taking: Taking
    private var streams: StreamListener?
    private var datagrams: DatagramListener?
    /// Callers that have not become links, by their numbers.
    private var greetings: [Int: HandshakeConnection] = [:]
    private var callers = 0

    /// Starts to listen; a descriptor that is connected already becomes a link at once.
    ///
    /// - Parameters:
    ///   - address: Not one to call.
    ///   - terms: What every link has to know.
    ///   - loop: Where everything runs.
    ///   - log: For callers that come to nothing.
    ///   - taking: Is given each link before it is started.
    /// - Throws: `SystemError` with the address in it.
    init(
        at address: LinkAddress,
        _ terms: LinkTerms,
        loop: EventLoop,
        log: Logger,
        taking: @escaping Taking
    ) throws(SystemError) {
        self.address = address
        self.terms = terms
        self.loop = loop
        self.log = log
        self.taking = taking
        switch address {
        case .stream, .packets:
            streams = try LinkOpener.listen(at: address, loop: loop) {
                [unowned self] connection, peer in take(connection, from: peer)
            }
        case .datagrams(let path):
            datagrams = try DatagramListener(path: path, mtu: terms.mtu, loop: loop) { link in
                taking(link)
            }
        case .descriptor(let number):
            start(stream(ByteStream(try .inherited(number)), named: "\(address)"))
        case .standardStreams:
            start(stream(try ByteStream.standardStreams(), named: "\(address)"))
        case .connect, .program:
            preconditionFailure("cannot listen on \(address)")
        }
    }

    /// Whether guests are still to come: not where there is one connection from the start.
    var isWaiting: Bool { streams != nil || datagrams != nil }

    /// Stops listening; links live on, but for those over a socket of datagrams.
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

    private func start(
        _ link: any FrameLink,
        _ begin: (any FrameReceiver) throws(SystemError) -> Void
    ) {
        guard let receiver = taking(link) else { return link.close() }
        do throws(SystemError) {
            try begin(receiver)
        } catch {
            link.close()
            receiver.closed(link, reason: "\(error)", now: loop.now)
        }
    }

    // MARK: VPNKit's greeting

    private func greet(_ connection: consuming OwnedDescriptor, named name: String) {
        guard greetings.count < Self.maximumGreetings else {
            return log.warning("too many clients without a greeting", ["link": name])
        }
        var random = SystemRandomNumberGenerator()
        let exchange = VPNKitExchange(
            mtu: terms.mtu,
            machines: terms.machines,
            spare: .local(using: &random)
        )
        callers += 1
        let number = callers
        let client = HandshakeConnection(
            DialledSocket(descriptor: connection, isConnected: true),
            exchange,
            loop: loop
        ) { [unowned self] result, connection in
            greetings[number] = nil
            switch result {
            case .agreed:
                start(stream(ByteStream(connection), named: name))
            case .failed(let fault):
                log.info("client sent no valid greeting", ["link": name, "reason": "\(fault)"])
            }
        }
        greetings[number] = client
        client.start(within: Self.patience)
    }
}
