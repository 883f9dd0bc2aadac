/// The endpoints of the checks from inside a namespace; the host's side already listens.
struct ConnectivityTargets: Equatable {
    /// Echo servers on the host's 127.0.0.1, over TCP and over UDP.
    var tcpEcho: UInt16
    var udpEcho: UInt16
    /// A port published on the host's 127.0.0.1, and the guest's port that it leads to.
    var published: UInt16
    var guestPort: UInt16

    /// The four numbers as one line.
    var line: String { "\(tcpEcho) \(udpEcho) \(published) \(guestPort)\n" }

    init(tcpEcho: UInt16, udpEcho: UInt16, published: UInt16, guestPort: UInt16) {
        self.tcpEcho = tcpEcho
        self.udpEcho = udpEcho
        self.published = published
        self.guestPort = guestPort
    }

    /// Parses the line.
    init?(_ line: some StringProtocol) {
        let numbers = line.split(separator: " ").compactMap { UInt16($0) }
        guard numbers.count == 4 else { return nil }
        self.init(
            tcpEcho: numbers[0],
            udpEcho: numbers[1],
            published: numbers[2],
            guestPort: numbers[3]
        )
    }
}

/// A human-readable table of what works in a namespace and what does not.
///
/// It blocks on each answer, up to two seconds, because it runs in a separate process from the
/// engine.
struct ConnectivityReport {
    private static let limit: Duration = .seconds(2)
    private static let transferLength = 1 << 20

    let lease: DHCPLease
    let hostAlias: IPAddress
    let targets: ConnectivityTargets
    /// Returns the current time, for the column of durations.
    let clock: () -> Instant
    let print: (String) -> Void

    /// Runs every check and prints a line for each.
    ///
    /// - Returns: Whether all checks succeeded.
    func run() -> Bool {
        let host = "\(hostAlias):\(targets.tcpEcho)"
        let udp = "\(hostAlias):\(targets.udpEcho)"
        var checks: [(name: String, what: String, check: () throws(SystemError) -> String?)] = [
            ("gateway", "ping \(lease.server)", ping),
            ("DNS", "gateway.docker.internal", resolve),
            ("TCP", "1 MiB to \(host) and back", transfer),
            ("UDP", "1400 bytes to \(udp) and back", exchange),
            ("published", "host 127.0.0.1:\(targets.published) → here", receivePublished),
        ]
        if let ipv6 = lease.ipv6 {
            let route = ipv6.router == nil ? "no default route" : "default route"
            let check = IPv6Check(assignment: ipv6, limit: Self.limit)
            checks.append(("IPv6", "ping \(ipv6.gateway), \(route)", check.run))
        }
        let address = "\(lease.address)/\(lease.prefixLength) by DHCP, MTU \(lease.mtu ?? 1500)"
        row("address", address, "ok")
        var good = 0
        for (name, what, check) in checks where report(name, what, check) { good += 1 }
        let total = checks.count + 1
        print(good == checks.count ? "all is well\n" : "\(total - good - 1) of \(total) failed\n")
        return good == checks.count
    }

    private func report(
        _ name: String,
        _ what: String,
        _ check: () throws(SystemError) -> String?
    ) -> Bool {
        let start = clock()
        do {
            if let problem = try check() {
                row(name, what, "FAILED: \(problem)")
                return false
            }
            row(name, what, "ok \(milliseconds(clock() - start))")
            return true
        } catch {
            row(name, what, "FAILED: \(error)")
            return false
        }
    }

    private func row(_ name: String, _ what: String, _ result: String) {
        let columns = [name.padded(to: 11), what.padded(to: 46), result]
        print("  " + columns.joined() + "\n")
    }

    private func milliseconds(_ duration: Duration) -> String {
        let tenths = duration.wholeNanoseconds / 100_000
        return "\(tenths / 10).\(tenths % 10) ms"
    }

    // MARK: Checks

    private func ping() throws(SystemError) -> String? {
        let echo = try Socket.makeEcho()
        let start = echo.includesHeader ? IPHeader.lengthIPv4 : 0
        let request = ICMPMessage(kind: .echoRequest, rest: 0x7264_0001)
        let octets = request.octets([UInt8](repeating: 0, count: 56))
        let target = SocketAddress(Endpoint(address: lease.server, port: 0))
        _ = try Socket.connect(echo.descriptor, to: target)
        let socket = WaitingSocket(echo.descriptor)
        try socket.send(octets, within: Self.limit)
        let answer = try socket.receive(upTo: 1500, within: Self.limit)
        return answer.count >= start + octets.count && answer[start] == 0
            ? nil : "not an echo reply"
    }

    private func resolve() throws(SystemError) -> String? {
        let server = lease.nameServers.first ?? lease.server
        let socket = try WaitingSocket.connected(
            to: Endpoint(address: server, port: 53),
            .datagram,
            within: Self.limit
        )
        var query = DNSHeader(id: 0x7264, flags: .recursionDesired, questions: 1).octets
        for label in ["gateway", "docker", "internal"] {
            query.append(UInt8(label.utf8.count))
            query += Array(label.utf8)
        }
        // Root label; type A, class IN.
        query += [0, 0, 1, 0, 1]
        try socket.send(query, within: Self.limit)
        let answer = try socket.receive(upTo: 1500, within: Self.limit)
        let found =
            answer.suffix(4) == lease.server.octets[...] && answer.starts(with: query.prefix(2))
        return found ? nil : "not the gateway's address"
    }

    private func transfer() throws(SystemError) -> String? {
        let endpoint = Endpoint(address: hostAlias, port: targets.tcpEcho)
        let socket = try WaitingSocket.connected(to: endpoint, .stream, within: Self.limit)
        // A piece is smaller than every buffer on the path, so that sending never waits for
        // receiving.
        let piece = (0..<(1 << 14)).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        for _ in 0..<(Self.transferLength / piece.count) {
            try socket.send(piece, within: Self.limit)
            var back: [UInt8] = []
            while back.count < piece.count {
                let more = try socket.receive(upTo: piece.count - back.count, within: Self.limit)
                if more.isEmpty { return "the connection ended early" }
                back += more
            }
            if back != piece { return "different bytes came back" }
        }
        return nil
    }

    private func exchange() throws(SystemError) -> String? {
        let endpoint = Endpoint(address: hostAlias, port: targets.udpEcho)
        let socket = try WaitingSocket.connected(to: endpoint, .datagram, within: Self.limit)
        let datagram = (0..<1400).map { UInt8(truncatingIfNeeded: $0 &* 17) }
        try socket.send(datagram, within: Self.limit)
        let answer = try socket.receive(upTo: 2000, within: Self.limit)
        return answer == datagram ? nil : "different bytes came back"
    }

    /// Checks the published port: a connection through the host back to this namespace.
    private func receivePublished() throws(SystemError) -> String? {
        let listener = WaitingSocket(
            try ListeningSocket.tcp(Endpoint(address: lease.address, port: targets.guestPort))
        )
        let port = Endpoint(address: hostAlias, port: targets.published)
        let client = try WaitingSocket.connected(to: port, .stream, within: Self.limit)
        let server = try listener.accept(within: Self.limit)
        let greeting = Array("rdnet".utf8)
        try client.send(greeting, within: Self.limit)
        let received = try server.receive(upTo: 16, within: Self.limit)
        return received == greeting ? nil : "different bytes came through"
    }
}

extension String {
    /// Returns the text padded with spaces to a width.
    fileprivate func padded(to width: Int) -> String {
        self + String(repeating: " ", count: max(1, width - count))
    }
}
