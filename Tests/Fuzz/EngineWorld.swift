/// A network with two guests, its host, and a clock that the script moves.
final class EngineWorld {
    let network: HostNetwork
    let loop: EventLoop
    let host: EngineHost
    private let clock: Clock
    private let mtu: Int
    private var guests: [EngineGuest] = []
    /// Limit on flows: each frame, and each action of the host, opens one at most.
    private var openings = 0

    private final class Clock {
        var now = Instant(nanoseconds: 1_000_000_000_000)
    }

    init(_ input: inout FuzzInput, _ host: EngineHost) throws {
        let choice = input.octet()
        let clock = Clock()
        self.clock = clock
        self.host = host
        loop = try EventLoop(clock: { clock.now })
        mtu = [1_500, 576, 9_000, 65_520][Int(choice & 3)]
        var settings = NetworkSettings()
        settings.mtu = mtu
        settings.isolatesGuests = choice & 4 != 0
        settings.allowsLinkLocal = choice & 8 != 0
        settings.blocksHostLoopback = choice & 16 != 0
        settings.dnsServers = [ZonedEndpoint("192.0.2.53:53")].compactMap { $0 }
        settings.hosts = "/dev/null"
        settings.resolvConf = "/dev/null"
        settings.portForwards = [
            "127.0.0.1:8080=192.168.127.2:80", "127.0.0.1:8081=192.168.127.2:81/udp",
        ].compactMap { PortForward($0) }
        network = HostNetwork(
            settings,
            loop: loop,
            log: .discarding(),
            random: CountingGenerator()
        )
        try network.open()
        for number in [2, 3] as [UInt8] {
            guests.append(EngineGuest(makeLink(isExtended: number == 3), number: number))
        }
    }

    private func makeLink(isExtended: Bool) -> EngineLink {
        let link = EngineLink(isExtended ? "extended" : "plain", isExtended: isExtended, mtu: mtu)
        link.sent = { [unowned self] frame, header in
            FrameCheck.check(frame, header, mtu: mtu)
            guests[isExtended ? 1 : 0].follow(frame)
        }
        link.receiver = network.attach(link)
        mustHold(link.receiver != nil, "no port for a link")
        return link
    }

    // MARK: Steps

    func step(_ input: inout FuzzInput) throws {
        let choice = input.octet()
        let guest = Int(choice >> 7)
        openings += 2
        switch choice & 15 {
        case 11: host.act(&input)
        case 12: clock.now = clock.now + .milliseconds(1 << Int64(input.number(below: 24)))
        case 13: act(on: guest, &input)
        case 14: host.answerQuery(&input)
        default:
            var frame = EngineScript.frame(Int(choice & 15), &guests[guest], &input)
            Checksum.repair(&frame)
            for _ in 0..<(choice >> 5 & 3) {
                let offset = Int(input.octet())
                if offset < frame.count { frame[offset] ^= input.octet() }
            }
            if choice & 16 != 0 { Checksum.repair(&frame) }
            send(frame, from: guests[guest].link, &input)
        }
        try settle()
    }

    private func send(_ frame: [UInt8], from link: EngineLink, _ input: inout FuzzInput) {
        var header = VirtioNetHeader.finished
        if link.receivesOffloadHeaders {
            let choice = input.octet()
            if choice & 1 != 0 { header = input.offload() }
            header.checksumIsValid = choice & 2 != 0
        }
        guard !link.isClosed, frame.count >= EthernetHeader.length else { return }
        frame.withUnsafeBytes {
            let frame = Frame($0, header)
            guard frame.hasReceivableLength else { return }
            network.engine.receive(frame, from: link, now: clock.now)
        }
        network.engine.batchEnded(on: link, now: clock.now)
    }

    private func act(on index: Int, _ input: inout FuzzInput) {
        let link = guests[index].link
        switch input.number(below: 4) {
        case 0: link.isDraining = false
        case 1: link.isDraining = true
        case 2 where !link.isClosed:
            link.close()
            network.engine.closed(link, reason: "closed", now: clock.now)
        default:
            guard link.isClosed else { return }
            let connections = guests[index].connections
            guests[index] = EngineGuest(
                makeLink(isExtended: link.receivesOffloadHeaders),
                number: guests[index].address[3]
            )
            guests[index].connections = connections
        }
    }

    /// Runs turns until loopback has delivered everything, then checks the tables.
    private func settle() throws {
        for _ in 0..<4 { try loop.turn(waitingAtMost: .zero) }
        let engine = network.engine
        mustHold(engine.tcp.count <= openings, "\(engine.tcp.count) TCP flows")
        mustHold(engine.udp.count <= openings, "\(engine.udp.count) UDP flows")
        mustHold(engine.echo.count <= openings, "\(engine.echo.count) echo flows")
    }

    // MARK: End

    /// Lets eight hours pass without a word from the guests: nothing remains.
    func end() throws {
        host.reset()
        for guest in guests { guest.link.isDraining = true }
        for (seconds, count) in [(1, 20), (10, 30), (200, 30), (1_000, 20)] {
            for _ in 0..<count {
                clock.now = clock.now + .seconds(seconds)
                try loop.turn(waitingAtMost: .zero)
            }
        }
        let engine = network.engine
        let phases = engine.tcp.all.map { "\($0.phase)" }
        mustHold(engine.tcp.count == 0, "TCP flows remain: \(phases)")
        mustHold(engine.udp.count == 0, "\(engine.udp.count) UDP flows remain")
        mustHold(engine.echo.count == 0, "\(engine.echo.count) echo flows remain")
        network.stop()
        host.reset()
    }
}
