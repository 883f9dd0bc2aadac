/// The check of `up`'s report for IPv6: address and default route exist, and the gateway answers.
struct IPv6Check {
    private enum Kind {
        static let echoRequest: UInt8 = 128
        static let echoReply: UInt8 = 129
    }

    /// Limit on other ICMPv6 messages before the reply: a raw socket receives all of them.
    private static let maximumMessages = 16

    let assignment: IPv6Assignment
    let limit: Duration

    /// Returns the problem; nil if there is none.
    func run() throws(SystemError) -> String? {
        if let router = assignment.router {
            var netlink = try Netlink()
            let hasRoute = try netlink.routes(.ipv6).contains {
                $0.prefixLength == 0 && $0.gateway == router
            }
            if !hasRoute { return "no default route via \(router)" }
        }
        return try ping()
    }

    private func ping() throws(SystemError) -> String? {
        let echo = try Socket.makeEcho(isIPv4: false)
        let target = SocketAddress(Endpoint(address: assignment.gateway, port: 0))
        _ = try Socket.connect(echo.descriptor, to: target)
        let socket = WaitingSocket(echo.descriptor)
        let data = (0..<56).map { UInt8($0) }
        let identifierAndSequence: [UInt8] = [0x72, 0x64, 0, 1]
        try socket.send(
            [Kind.echoRequest, 0, 0, 0] + identifierAndSequence + data,
            within: limit
        )
        for _ in 0..<Self.maximumMessages {
            let answer = try socket.receive(upTo: 1500, within: limit)
            if answer.first == Kind.echoReply, answer.suffix(data.count) == data[...] { return nil }
        }
        return "not an echo reply"
    }
}
