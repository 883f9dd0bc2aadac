/// The frames of a valid conversation, one for each kind of step.
enum EngineScript {
    private static let destinations: [[UInt8]] = [
        [192, 168, 127, 254], [192, 168, 127, 1], [198, 51, 100, 7], [192, 168, 127, 2],
        [192, 168, 127, 3], [255, 255, 255, 255], [192, 168, 127, 255], [224, 0, 0, 251],
        [169, 254, 169, 254], [127, 0, 0, 1], [0, 0, 0, 0], [240, 0, 0, 1],
    ]
    private static let ports: [UInt16] = [7, 53, 80, 67, 9, 0, 5_353, 81]

    /// The frame of one step; kinds without a frame of their own are raw.
    static func frame(_ kind: Int, _ guest: inout EngineGuest, _ input: inout FuzzInput) -> [UInt8]
    {
        switch kind {
        case 1: arp(guest, &input)
        case 2: dhcp(guest, &input)
        case 3: query(guest, &input)
        case 4: datagram(guest, &input)
        case 5: echo(guest, &input)
        case 6: open(&guest, &input)
        case 7: segment(&guest, &input, maximum: 1_460)
        case 8: segment(&guest, &input, maximum: 65_000)
        case 9: fragment(guest, &input)
        case 10: error(guest, &input)
        case 15: text(&guest, &input)
        default: input.take(Int(input.octet()))
        }
    }

    private static func destination(_ input: inout FuzzInput) -> [UInt8] {
        destinations[input.number(below: destinations.count)]
    }

    private static func port(_ input: inout FuzzInput) -> UInt16 {
        ports[input.number(below: ports.count)]
    }

    private static func arp(_ guest: EngineGuest, _ input: inout FuzzInput) -> [UInt8] {
        guest.arp(isRequest: input.octet() & 1 == 0, for: destination(&input))
    }

    private static func dhcp(_ guest: EngineGuest, _ input: inout FuzzInput) -> [UInt8] {
        var payload = [UInt8](repeating: 0, count: 236)
        payload.replaceSubrange(0..<4, with: [1, 1, 6, 0])
        payload.replaceSubrange(28..<34, with: guest.mac)
        payload += [0x63, 0x82, 0x53, 0x63, 53, 1, input.octet()]
        payload += input.take(input.number(below: 64)) + [255]
        let isNew = input.octet() & 1 == 0
        return guest.ipv4(
            17,
            to: isNew ? [255, 255, 255, 255] : [192, 168, 127, 1],
            guest.udp(68, 67, payload),
            from: isNew ? [0, 0, 0, 0] : nil
        )
    }

    private static let names = [
        "host.docker.internal", "example.com", "1.127.168.192.in-addr.arpa",
    ]

    private static func question(_ input: inout FuzzInput) -> [UInt8] {
        let name = names[input.number(below: names.count)]
        let labels = name.split(separator: ".").flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) }
        return [0x12, input.octet(), 1, 0, 0, 1, 0, 0, 0, 0, 0, 0] + labels
            + [0, 0, input.octet(), 0, 1]
    }

    private static func query(_ guest: EngineGuest, _ input: inout FuzzInput) -> [UInt8] {
        let port = 50_000 + UInt16(input.octet())
        return guest.ipv4(17, to: [192, 168, 127, 1], guest.udp(port, 53, question(&input)))
    }

    private static func datagram(_ guest: EngineGuest, _ input: inout FuzzInput) -> [UInt8] {
        let target = destination(&input)
        let payload = [UInt8](repeating: 1, count: Int(input.octet()) * 6)
        let source = 50_000 + UInt16(input.octet() & 7)
        return guest.ipv4(17, to: target, guest.udp(source, port(&input), payload))
    }

    private static func echo(_ guest: EngineGuest, _ input: inout FuzzInput) -> [UInt8] {
        let payload = [UInt8](repeating: 2, count: Int(input.octet()) * 6)
        let message = [8, 0, 0, 0, 0, input.octet(), 0, input.octet()] + payload
        return guest.ipv4(1, to: destination(&input), message)
    }

    // MARK: TCP

    private static func open(_ guest: inout EngineGuest, _ input: inout FuzzInput) -> [UInt8] {
        let index = input.number(below: guest.connections.count - 1)
        var connection = guest.connections[index]
        connection.remote = destination(&input)
        connection.remotePort = port(&input)
        let options: [[UInt8]] = [
            [2, 4, 5, 0xb4], [], [2, 4, 5, 0xb4, 1, 3, 3, 7, 4, 2, 1, 1],
            [2, 4, 0, 0, 3, 3, 14, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0, 1, 1],
        ]
        let chosen = options[input.number(below: options.count)]
        defer {
            connection.next &+= 1
            guest.connections[index] = connection
        }
        return guest.tcp(connection, flags: 2, window: 65_535, options: chosen, [])
    }

    private static func segment(
        _ guest: inout EngineGuest,
        _ input: inout FuzzInput,
        maximum: Int
    ) -> [UInt8] {
        let index = input.number(below: guest.connections.count)
        let (flags, shape) = (input.octet(), input.octet())
        let length = maximum / 64 * Int(shape & 63)
        var connection = guest.connections[index]
        // One in four is not where it is expected.
        if shape >> 6 == 3 { connection.next &+= UInt32(input.integer16()) &- 0x8000 }
        if shape >> 6 == 2 { connection.expected &-= UInt32(input.integer16()) }
        let payload = [UInt8](repeating: 3, count: length)
        let window = UInt16(input.octet()) << 8
        // A guest that answers the host's SYN, or sends a FIN, has used a number.
        let used = UInt32(length) + UInt32(flags & 1) + UInt32(flags >> 1 & 1)
        if shape >> 6 < 3 { guest.connections[index].next &+= used }
        return guest.tcp(connection, flags: flags & 0x3f | 16, window: window, options: [], payload)
    }

    /// Text on a connection: a request to the API, or a query in a stream.
    private static func text(_ guest: inout EngineGuest, _ input: inout FuzzInput) -> [UInt8] {
        let index = input.number(below: guest.connections.count)
        let connection = guest.connections[index]
        let payload: [UInt8]
        switch input.number(below: 3) {
        case 0:
            payload = Array(
                "GET /services/forwarder/all HTTP/1.1\r\nHost: 192.168.127.1\r\n\r\n".utf8
            )
        case 1:
            let question = question(&input)
            payload = [0, UInt8(question.count)] + question
        default: payload = input.take(Int(input.octet()))
        }
        guest.connections[index].next &+= UInt32(payload.count)
        return guest.tcp(connection, flags: 24, window: 65_535, options: [], payload)
    }

    // MARK: Fragments and errors

    private static func fragment(_ guest: EngineGuest, _ input: inout FuzzInput) -> [UInt8] {
        let target = destination(&input)
        let place = input.integer16() & 0x3fff
        let count = Int(input.octet()) * 5
        let whole = guest.udp(50_001, port(&input), [UInt8](repeating: 4, count: count))
        return guest.ipv4(17, to: target, fragment: place, whole)
    }

    /// An ICMP error about a packet of the host on one of the connections, or to a UDP port.
    private static func error(_ guest: EngineGuest, _ input: inout FuzzInput) -> [UInt8] {
        let connection = guest.connections[input.number(below: guest.connections.count)]
        let isUDP = input.octet() & 1 != 0
        var quoted = guest.tcp(connection, flags: 16, window: 0, options: [], [])
        if isUDP { quoted = guest.ipv4(17, to: connection.remote, guest.udp(7, 50_001, [])) }
        // The quoted packet went the other way.
        var inner = Array(quoted[14...])
        inner.replaceSubrange(12..<20, with: connection.remote + guest.address)
        if !isUDP {
            let (one, other) = (Array(inner[20..<22]), Array(inner[22..<24]))
            inner.replaceSubrange(20..<24, with: other + one)
            inner.replaceSubrange(24..<28, with: inner[28..<32])
        }
        let message = [
            input.octet() & 15, input.octet() & 15, 0, 0, 0, 0, input.octet(), input.octet(),
        ]
        return guest.ipv4(1, to: connection.remote, message + inner)
    }
}
