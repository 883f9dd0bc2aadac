/// The checks of a report, each with a time limit.
extension ConnectivityReport {
    private static let limit: Duration = .seconds(2)
    private static let transferLength = 1 << 20
    private static let speedTime: Duration = .seconds(1)
    /// Bytes that are sent between two looks at the clock.
    private static let speedPiece = 1 << 18

    func ping() throws(SystemError) -> Outcome {
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
            ? .good : .problem("not an echo reply")
    }

    func resolve() throws(SystemError) -> Outcome {
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
        return found ? .good : .problem("not the gateway's address")
    }

    func transfer() throws(SystemError) -> Outcome {
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
                if more.isEmpty { return .problem("the connection ended early") }
                back += more
            }
            if back != piece { return .problem("different bytes came back") }
        }
        return .good
    }

    func exchange() throws(SystemError) -> Outcome {
        let endpoint = Endpoint(address: hostAlias, port: targets.udpEcho)
        let socket = try WaitingSocket.connected(to: endpoint, .datagram, within: Self.limit)
        let datagram = (0..<1400).map { UInt8(truncatingIfNeeded: $0 &* 17) }
        try socket.send(datagram, within: Self.limit)
        let answer = try socket.receive(upTo: 2000, within: Self.limit)
        return answer == datagram ? .good : .problem("different bytes came back")
    }

    /// Checks the published port: a connection through the host back to this namespace.
    func receivePublished() throws(SystemError) -> Outcome {
        let listener = WaitingSocket(
            try ListeningSocket.tcp(Endpoint(address: lease.address, port: targets.guestPort))
        )
        let port = Endpoint(address: hostAlias, port: targets.published)
        let client = try WaitingSocket.connected(to: port, .stream, within: Self.limit)
        let server = try listener.accept(within: Self.limit)
        let greeting = Array("rdnet".utf8)
        try client.send(greeting, within: Self.limit)
        let received = try server.receive(upTo: 16, within: Self.limit)
        return received == greeting ? .good : .problem("different bytes came through")
    }

    /// Measures how fast TCP to the host is.
    func measureSpeed() throws(SystemError) -> Outcome {
        let endpoint = Endpoint(address: hostAlias, port: targets.discard)
        let socket = try WaitingSocket.connected(to: endpoint, .stream, within: Self.limit)
        let piece = [UInt8](repeating: 0x55, count: Self.speedPiece)
        var sent = 0
        let start = clock()
        var elapsed = Duration.zero
        while elapsed < Self.speedTime {
            try socket.send(piece, within: Self.limit)
            sent += piece.count
            elapsed = clock() - start
        }
        let megabits = sent * 8_000 / Int(elapsed.wholeNanoseconds)
        return .detail(
            megabits < 1_000
                ? "\(megabits) Mbit/s" : "\(megabits / 1_000).\(megabits / 100 % 10) Gbit/s"
        )
    }

    func checkRoutes() -> Outcome {
        switch (targets.hasRouteIPv4, targets.hasRouteIPv6) {
        case (true, true): .detail("IPv4 and IPv6")
        case (true, false): .detail("IPv4 only")
        case (false, true): .detail("IPv6 only")
        case (false, false): .problem("none; only this machine and its networks can be reached")
        }
    }

    /// Asks one of the host's resolvers, directly and not through the gateway's DNS.
    func ask(_ resolver: Endpoint) throws(SystemError) -> Outcome {
        let socket = try WaitingSocket.connected(to: resolver, .datagram, within: Self.limit)
        try socket.send(DNSQuery.rootServers, within: Self.limit)
        _ = try socket.receive(upTo: 4_096, within: Self.limit)
        return .good
    }

    func checkIPv6(_ assignment: IPv6Assignment) throws(SystemError) -> Outcome {
        try IPv6Check(assignment: assignment, limit: Self.limit).run().map { .problem($0) } ?? .good
    }
}
