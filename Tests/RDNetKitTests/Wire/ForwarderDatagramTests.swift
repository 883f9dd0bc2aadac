import Testing

@testable import RDNetKit

@Suite("datagrams in VPNKit's streams")
struct ForwarderDatagramTests {
    private let client = Endpoint(address: IPAddress(ipv4: 0x0a00_0001), port: 53)

    private func read(_ octets: [UInt8]) throws -> [ForwarderDatagram] {
        var reader = ForwarderDatagramReader()
        return try reader.read(octets)
    }

    @Test func `without a client it is written as Go writes it`() throws {
        let datagram = ForwarderDatagram(client: nil, payload: Array("ping".utf8))
        #expect(datagram.octets == bytes("0e00 0000 0000 0000 0400 70696e67"))
        #expect(try read(datagram.octets) == [datagram])
    }

    @Test func `a client's address has four or sixteen bytes`() throws {
        let datagram = ForwarderDatagram(client: client, payload: [0xab])
        #expect(datagram.octets == bytes("0f00 0400 0a000001 3500 0000 0100 ab"))
        #expect(try read(datagram.octets) == [datagram])
        let other = ForwarderDatagram(
            client: Endpoint(address: .loopbackIPv6, port: 53),
            payload: []
        )
        #expect(other.octets.count == 26)
        #expect(try read(datagram.octets + other.octets) == [datagram, other])
    }

    @Test func `frames may be cut anywhere, and their total length is ignored`() throws {
        let first = ForwarderDatagram(client: client, payload: [1, 2, 3])
        let second = ForwarderDatagram(client: nil, payload: [])
        let octets = [0xff, 0xff] + first.octets.dropFirst(2) + second.octets
        var (reader, datagrams) = (ForwarderDatagramReader(), [ForwarderDatagram]())
        for octet in octets { datagrams += try reader.read([octet]) }
        #expect(datagrams == [first, second])
        #expect(reader.heldOctets == 0)
    }

    @Test func `a zone is skipped`() throws {
        #expect(
            try read(bytes("1100 0000 0000 0300 657468 0400 70696e67"))
                == [ForwarderDatagram(client: nil, payload: Array("ping".utf8))]
        )
    }

    @Test(
        "what cannot be a datagram is an error",
        arguments: [
            ("0e00 0500", PacketError.notThisFormat),
            ("0e00 0000 0000 4100", .badLength(field: 65, available: 64)),
            ("0e00 0000 0000 0000 ffff", .badLength(field: 65_535, available: 65_507)),
        ]
    )
    func refused(text: String, error: PacketError) {
        #expect(throws: error) { try read(bytes(text)) }
    }
}

extension ForwarderDatagramReader {
    fileprivate mutating func read(_ octets: [UInt8]) throws -> [ForwarderDatagram] {
        try octets.withUnsafeBytes { try append($0) }
    }
}
