/// The links of guests: existing ones, listeners, and streams.
extension HostNetwork {
    /// Attaches an existing link.
    ///
    /// - Parameter link: Not started yet.
    /// - Returns: For whom to start it; nil if no port was free.
    func attach(_ link: any FrameLink) -> (any FrameReceiver)? {
        let limited = settings.limits.rate.map { rate in
            LimitedLink(link, to: rate, for: engine, loop: loop) { [unowned engine] in
                engine.network.drop(.rate)
            }
        }
        guard engine.ethernet.attach(limited ?? link, now: loop.now) else {
            limits.reached(.links, maximum: VirtualEthernet.maximumLinks)
            return nil
        }
        log.info("link attached", ["link": link.name])
        loop.after(Self.silenceLimit) { [weak self, weak link] _ in
            if let link { self?.reportSilence(of: link) }
        }
        tell(of: link, "attached")
        return limited ?? engine
    }

    /// How long a link may deliver nothing before the log says so.
    private static var silenceLimit: Duration { .seconds(5) }

    private func reportSilence(of link: any FrameLink) {
        let counters = link.counters
        guard !link.isClosed, counters.framesReceived == 0 else { return }
        let seconds = "\(Self.silenceLimit.components.seconds)"
        guard counters.malformed > 0 else {
            return log.info("no frame from the guest yet", ["link": link.name, "seconds": seconds])
        }
        log.warning(
            "link delivers no valid frames; are both ends of the same kind?",
            ["link": link.name, "seconds": seconds, "malformed": "\(counters.malformed)"]
        )
    }

    /// Listens for guests, or uses the one that is already connected.
    ///
    /// - Parameters:
    ///   - address: The address of the link.
    ///   - attached: Called with each guest's link.
    /// - Throws: `RoleFailure` with the address.
    func open(
        _ address: LinkAddress,
        attached: @escaping (any FrameLink) -> Void = { _ in }
    ) throws(RoleFailure) {
        do throws(SystemError) {
            let listener = try LinkListener(
                at: address,
                terms,
                loop: loop,
                log: log,
                limits: limits,
                counters: listenerCounters
            ) { [unowned self] link in
                guard let receiver = attach(link) else { return nil }
                attached(link)
                return receiver
            }
            linkListeners.append(listener)
            close(listener.endpoint)
            if listener.isWaiting { log.info("waiting for guests", ["link": "\(address)"]) }
        } catch {
            throw RoleFailure("link \(address): \(error)")
        }
    }

    /// Keeps guests from one of this program's own listening endpoints; nil for a unix socket.
    func close(_ endpoint: Endpoint?) {
        if let endpoint { engine.network.admission.closedEndpoints.append(endpoint) }
    }

    private var terms: LinkTerms {
        LinkTerms(
            mtu: settings.mtu,
            subnet: settings.subnet,
            mac: settings.gatewayMAC,
            machines: settings.machines,
            knowsMachines: settings.knowsMachines
        )
    }

    /// Attaches a stream.
    ///
    /// - Parameters:
    ///   - descriptor: A connected stream from which nothing was read.
    ///   - name: A name for the log and the API.
    ///   - format: The framing of the stream.
    ///   - peer: The peer's address, if it has one.
    /// - Returns: The link; nil if it could not be attached or has already ended.
    @discardableResult
    func attach(
        _ descriptor: consuming OwnedDescriptor,
        named name: String,
        _ format: StreamFormat,
        from peer: Endpoint? = nil
    ) -> (any FrameLink)? {
        let link = StreamLink(
            ByteStream(descriptor),
            terms.stream(named: peer.map { "\(name) from \($0)" } ?? name, format),
            loop: loop,
            log: log
        )
        guard let receiver = attach(link) else {
            link.close()
            return nil
        }
        do {
            try link.start(for: receiver, now: loop.now)
        } catch {
            link.close()
            receiver.closed(link, reason: "\(error)", now: loop.now)
        }
        return link.isClosed ? nil : link
    }
}
