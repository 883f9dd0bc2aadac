internal import CLinux
internal import Glibc

/// UDP datagrams of one port on one interface, sent and received below the kernel's IP layer.
///
/// A DHCP client needs this: while the interface has no address, the kernel neither sends from
/// 0.0.0.0 nor accepts a unicast reply to the offered address. A kernel filter drops all other
/// traffic. Needs CAP_NET_RAW. See packet(7).
struct PacketSocket: ~Copyable {
    /// A datagram and the sender's MAC address.
    struct Arrival {
        var packet: UDPPacket
        var mac: MACAddress
    }

    private static let maximumPacketLength = 65_535

    private let packets: OwnedDescriptor
    /// A UDP socket bound to the port and never read.
    ///
    /// Without it, the kernel would answer a unicast reply to a configured interface with "port
    /// unreachable".
    private let placeholder: OwnedDescriptor
    private let link: UInt32

    /// Opens the socket.
    ///
    /// - Parameters:
    ///   - port: The local UDP port.
    ///   - link: The interface's index.
    ///   - name: The interface's name.
    /// - Throws: `SystemError`: EPERM, or EADDRINUSE when another client uses the interface.
    init(port: UInt16, link: UInt32, named name: String) throws(SystemError) {
        let placeholder = try Self.makePlaceholder(port: port, named: name)
        // Protocol 0 receives nothing until the filter is in place.
        let packets = try Socket.make(AF_PACKET, SOCK_DGRAM)
        try Self.attach(Self.filter(port: port), to: packets)
        let anyone = SocketAddress(link: link, mac: .broadcast)
        try Socket.bind(packets, to: anyone, named: "packets of \(name)")
        self.placeholder = placeholder
        self.packets = packets
        self.link = link
    }

    private static func makePlaceholder(
        port: UInt16,
        named name: String
    ) throws(SystemError) -> OwnedDescriptor {
        let placeholder = try Socket.make(AF_INET, SOCK_DGRAM)
        try attach([instruction(BPF_RET | BPF_K, 0)], to: placeholder)
        try Socket.bind(placeholder, toInterface: name)
        let address = SocketAddress(Endpoint(address: .anyIPv4, port: port))
        try Socket.bind(placeholder, to: address, named: "\(name) port \(port)")
        return placeholder
    }

    /// The descriptor to watch for reading.
    var number: Int32 { packets.number }

    /// Receives one datagram; nil when none is waiting.
    ///
    /// - Returns: The datagram; packets that are not whole datagrams, such as fragments, are
    ///   skipped.
    /// - Throws: `SystemError`, such as ENETDOWN.
    func receive() throws(SystemError) -> Arrival? {
        var buffer = [UInt8](repeating: 0, count: Self.maximumPacketLength)
        // Enough to skip a burst of malformed packets; the rest waits for the next readiness event.
        for _ in 0..<64 {
            var sender = SocketAddress()
            let (number, length) = (packets.number, buffer.count)
            let count = try attempt("packet receive") {
                sender.withMutablePointer { recvfrom(number, &buffer, length, 0, $0, $1) }
            }
            guard let count else { return nil }
            do throws(PacketError) {
                let packet = try UDPPacket(reading: buffer.span.bytes.extracting(0..<count))
                if let mac = sender.mac { return Arrival(packet: packet, mac: mac) }
            } catch {
                continue
            }
        }
        return nil
    }

    /// Sends one datagram to a MAC address.
    ///
    /// - Parameters:
    ///   - packet: The complete datagram, with addresses and ports.
    ///   - mac: The destination.
    /// - Throws: `SystemError`, such as ENETDOWN. A full queue is not an error: it drops the
    ///   datagram, as a network may.
    func send(_ packet: UDPPacket, to mac: MACAddress) throws(SystemError) {
        let octets = packet.octets
        let (number, destination) = (packets.number, SocketAddress(link: link, mac: mac))
        _ = try attempt("packet send") {
            destination.withPointer { sendto(number, octets, octets.count, 0, $0, $1) }
        }
    }

    // MARK: The kernel's filter

    /// Accepts UDP datagrams to a port, whole or as a first fragment; offset 0 is the start of the
    /// IPv4 header.
    private static func filter(port: UInt16) -> [sock_filter] {
        [
            instruction(BPF_LD | BPF_B | BPF_ABS, 9),
            instruction(BPF_JMP | BPF_JEQ | BPF_K, UInt32(IPProtocol.udp), otherwise: 6),
            instruction(BPF_LD | BPF_H | BPF_ABS, 6),
            instruction(BPF_JMP | BPF_JSET | BPF_K, 0x1fff, then: 4),
            instruction(BPF_LDX | BPF_B | BPF_MSH, 0),
            instruction(BPF_LD | BPF_H | BPF_IND, 2),
            instruction(BPF_JMP | BPF_JEQ | BPF_K, UInt32(port), otherwise: 1),
            instruction(BPF_RET | BPF_K, UInt32(maximumPacketLength)),
            instruction(BPF_RET | BPF_K, 0),
        ]
    }

    private static func instruction(
        _ code: Int32,
        _ value: UInt32,
        then: UInt8 = 0,
        otherwise: UInt8 = 0
    ) -> sock_filter {
        sock_filter(code: UInt16(truncatingIfNeeded: code), jt: then, jf: otherwise, k: value)
    }

    /// Attaches a classic BPF program.
    ///
    /// See socket(7), SO_ATTACH_FILTER.
    private static func attach(
        _ program: [sock_filter],
        to descriptor: borrowing OwnedDescriptor
    ) throws(SystemError) {
        let number = descriptor.number
        var program = program
        let count = UInt16(truncatingIfNeeded: program.count)
        try systemCall("setsockopt(SO_ATTACH_FILTER)") {
            // Sound: the kernel copies the program during the call.
            program.withUnsafeMutableBufferPointer { instructions in
                var filter = sock_fprog(len: count, filter: instructions.baseAddress)
                let length = socklen_t(MemoryLayout<sock_fprog>.size)
                return setsockopt(number, SOL_SOCKET, SO_ATTACH_FILTER, &filter, length)
            }
        }
    }
}
