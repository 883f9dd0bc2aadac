/// The check of `up`'s report for IPv6: address and default route exist, and the gateway answers.
struct IPv6Check {
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
        let request = ICMPMessage(kind: .echoRequest, rest: 0x7264_0001)
        // The kernel writes the checksum, which covers its address.
        try socket.send(request.octets(data, isIPv4: false), within: limit)
        for _ in 0..<Self.maximumMessages {
            let answer = try socket.receive(upTo: 1500, within: limit)
            if isEchoReply(answer), answer.suffix(data.count) == data[...] { return nil }
        }
        return "not an echo reply"
    }

    private func isEchoReply(_ message: [UInt8]) -> Bool {
        do throws(PacketError) {
            return try ICMPMessage(reading: message.span.bytes, isIPv4: false).kind == .echoReply
        } catch {
            return false
        }
    }
}
