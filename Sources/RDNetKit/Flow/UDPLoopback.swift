/// The ports of the host's loopback whose services listen on the address of the other family only.
struct OtherLoopbackPorts {
    /// Limit on ports; a forgotten one costs one refused datagram.
    private static let capacity = 1024

    private var endpoints: Set<Endpoint> = []

    /// Whether datagrams to an endpoint go to the other loopback address.
    @inline(__always)
    func contains(_ endpoint: Endpoint) -> Bool {
        !endpoints.isEmpty && endpoints.contains(endpoint)
    }

    mutating func insert(_ endpoint: Endpoint) {
        if endpoints.count >= Self.capacity { endpoints.removeAll() }
        endpoints.insert(endpoint)
    }

    mutating func remove(_ endpoint: Endpoint) {
        endpoints.remove(endpoint)
    }
}

/// A flow's second host socket, for services that listen on the other loopback address only.
///
/// How it works: a host alias stands for both of the host's loopback addresses. A datagram goes to
/// the address of the guest's own family. If the host's kernel refuses it there, the flow sends it
/// to the other address from this socket, and `OtherLoopbackPorts` remembers the port for all
/// flows. If that address refuses a datagram, the guest gets the error, and the port is forgotten:
/// the next datagram goes to the own family's address again. So no datagram is sent more than
/// twice, and never after an address has accepted it. The guest sees answers and errors as if they
/// came from the address of its own family.
final class OtherLoopbackSocket: ReadinessObserver {
    private let address: IPAddress
    /// The loopback address of the guest's own family.
    private let ownAddress: IPAddress
    private unowned let flows: UDPFlows
    private unowned let flow: UDPFlow
    private let socket: OwnedDescriptor
    private var watch: EventLoop.Watch?
    /// The number is 0 before the first datagram.
    private(set) var externalPort: HairpinPorts.Port

    /// Opens the socket.
    ///
    /// - Parameters:
    ///   - address: The loopback address of the other family.
    ///   - ownAddress: That of the guest's family.
    ///   - flow: The guest's flow.
    /// - Throws: `SystemError`, such as EAFNOSUPPORT without the other family.
    init(
        at address: IPAddress,
        insteadOf ownAddress: IPAddress,
        of flow: UDPFlow
    ) throws(SystemError) {
        self.address = address
        self.ownAddress = ownAddress
        self.flow = flow
        flows = flow.flows
        externalPort = HairpinPorts.Port(number: 0, isIPv4: address.isIPv4)
        socket = try flows.descriptors.open(for: .datagrams) { () throws(SystemError) in
            try Socket.mappingDatagram(isIPv4: address.isIPv4)
        }
        Socket.receiveTrains(socket)
        Socket.enlargeBuffers(socket, to: 1 << 20)
        watch = try flows.loop.watch(socket.number, for: .readable, observer: self)
    }

    /// Closes the socket.
    func close() {
        if let watch { flows.loop.forget(watch) }
        watch = nil
    }

    // MARK: To the host

    /// Sends one datagram to a port.
    func send(_ payload: UnsafeRawBufferPointer, to port: UInt16) {
        let host = SocketAddress(Endpoint(address: address, port: port))
        defer { learnExternalPort() }
        // The error of an earlier datagram fails the next call.
        for _ in 0..<3 {
            do {
                if try Socket.sendDatagram(socket, payload, to: host) == nil {
                    flows.path.drop(.full)
                }
                return
            } catch {
                reportErrors()
            }
        }
        flows.path.drop(.hostError)
    }

    /// Sends several datagrams to a port; false if they must be sent one by one.
    func sendTrain(
        _ octets: UnsafeRawBufferPointer,
        segmentSize: Int,
        to port: UInt16
    ) -> Bool {
        let host = SocketAddress(Endpoint(address: address, port: port))
        defer { learnExternalPort() }
        do {
            let sent = try Socket.sendTrain(socket, octets, segmentSize: segmentSize, to: host)
            if sent == nil { flows.path.drop(.full) }
            return true
        } catch {
            reportErrors()
            return false
        }
    }

    private func learnExternalPort() {
        guard externalPort.number == 0 else { return }
        do {
            externalPort.number = try Socket.localAddress(socket).endpoint?.port ?? 0
        } catch {
            // Only without a socket; the flow then cannot be reached by other guests.
            return
        }
        if externalPort.number != 0 { flows.opened(externalPort, of: flow) }
    }

    // MARK: From the host

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        if readiness.contains(.failed) { reportErrors() }
        flows.read(socket, reportErrors: { reportErrors() }) { receive($0, now: now) }
    }

    private func receive(_ train: DatagramTrain, now: Instant) {
        guard let host = train.sender.endpoint, host.address == address,
            flow.isContacted(ownAddress)
        else { return flows.path.drop(.unsolicited) }
        let seen = Endpoint(address: ownAddress, port: host.port)
        flow.receive(train, from: seen, now: now)
    }

    /// Forwards the errors in the error queue, and forgets the ports that refuse.
    private func reportErrors() {
        let limit = UDPFlows.datagramsPerTurn
        _ = QueuedError.drain(socket, into: flows.scratch, limit: limit) { error, quoted in
            let error = error.moved(to: ownAddress)
            flows.otherLoopbacks.remove(error.destination)
            flow.testedPort = nil
            flows.report(error, quoting: quoted, of: flow)
        }
    }
}

/// Sending to the host's other loopback address.
extension UDPFlow {
    /// Looks for the refusal of the first datagram to a loopback port while its payload is at hand.
    ///
    /// The kernel queues the refusal before it returns from the call that sends, unless the machine
    /// is busy. An ICMP error quotes only the beginning of a long datagram.
    func lookForRefusal(of payload: UnsafeRawBufferPointer, by host: Endpoint) {
        guard testedPort != host.port, host.address.otherLoopback != nil else { return }
        testedPort = host.port
        reportErrors(latest: (payload, host))
    }

    /// Sends a datagram that a loopback port refused to the other loopback address.
    ///
    /// - Parameters:
    ///   - error: The refusal.
    ///   - quoted: The datagram, or its beginning.
    ///   - latest: The datagram that was just sent, and its destination.
    /// - Returns: False if the error is another one or there is no other address.
    func sendElsewhere(
        after error: QueuedError,
        quoting quoted: UnsafeRawBufferPointer,
        latest: (payload: UnsafeRawBufferPointer, host: Endpoint)?
    ) -> Bool {
        let host = error.destination
        guard error.kind == .destinationUnreachable(.port), openOtherLoopback(for: host) != nil
        else { return false }
        flows.otherLoopbacks.insert(host)
        if let latest, latest.host == host, latest.payload.starts(with: quoted) {
            return sendToOtherLoopback(latest.payload, host)
        }
        let (mark, bits) = (SentPacket.mark(of: quoted), 8 * min(quoted.count, 8))
        let sent = sent.latest(to: host, mark: mark, bits: bits)
        guard let sent, Int(sent.payloadLength) == UDPHeader.length + quoted.count else {
            // The guest repeats it, like any datagram that was lost.
            flows.path.drop(.hostError)
            return true
        }
        return sendToOtherLoopback(quoted, host)
    }

    /// Sends a datagram to the other loopback address; false if that is impossible.
    func sendToOtherLoopback(_ payload: UnsafeRawBufferPointer, _ host: Endpoint) -> Bool {
        guard let other = openOtherLoopback(for: host) else { return false }
        other.send(payload, to: host.port)
        return true
    }

    /// The socket for the other loopback address, if the host has that.
    func openOtherLoopback(for host: Endpoint) -> OtherLoopbackSocket? {
        guard let address = host.address.otherLoopback else { return nil }
        if let otherLoopback { return otherLoopback }
        do throws(SystemError) {
            let other = try OtherLoopbackSocket(at: address, insteadOf: host.address, of: self)
            // To make room, the budget may have closed this flow.
            guard watch != nil else {
                other.close()
                return nil
            }
            otherLoopback = other
            return other
        } catch {
            return nil
        }
    }
}
