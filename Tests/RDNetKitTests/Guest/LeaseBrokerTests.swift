import Testing

@testable import RDNetKit

/// What passes from a guest end to its lease helper.
@Suite("lease helper")
struct LeaseBrokerTests {
    /// An ACK with every way in which a server can place options (RFC 2132, 9.3; RFC 3396): a value
    /// in two pieces, one in `file`, one in `sname`, an empty one, and one that nobody knows.
    private static func acknowledgment() throws -> DHCPMessage {
        var octets = try DHCPLeaseTests.acknowledgment().octets
        octets.removeLast(octets.count - 240)
        octets += [53, 1, 5, 54, 4, 192, 168, 127, 1, 52, 1, 3, 1, 4, 255, 255, 255, 0]
        // Option 224 in pieces of 200 and 100 bytes.
        octets += [224, 200] + [UInt8](repeating: 7, count: 200)
        octets += [224, 100] + [UInt8](repeating: 8, count: 100) + [80, 0, 255]
        // `sname`: a name server; `file`: the domain.
        octets.replaceSubrange(44..<51, with: [6, 4, 9, 9, 9, 9, 255])
        octets.replaceSubrange(108..<115, with: [15, 4, 0x68, 0x6f, 0x6d, 0x65, 255])
        return try DHCPMessage(reading: octets.span.bytes)
    }

    @Test func `every change arrives as it was sent`() throws {
        let message = try Self.acknowledgment()
        #expect(message.options[DHCPOptionCode(rawValue: 224)]?.count == 300)
        let lease = try #require(DHCPLease(acknowledgedBy: message))
        #expect(lease.resolverText == "search home\nnameserver 9.9.9.9\n")
        let changes: [LeaseChange] = [
            .lost, .bound(lease), .renewed(lease), .silence, .refused(message),
        ]
        for change in changes {
            let packet = LeaseBroker.packet(change)
            #expect(LeaseBroker.Request(reading: packet) == .apply(change))
            let (sent, arrived) = (
                DHCPScriptEnvironment(change, interface: "eth0"),
                try #require(
                    Self.change(packet).map { DHCPScriptEnvironment($0, interface: "eth0") }
                )
            )
            #expect(sent == arrived)
        }
    }

    private static func change(_ packet: [UInt8]) -> LeaseChange? {
        guard case .apply(let change) = LeaseBroker.Request(reading: packet) else { return nil }
        return change
    }

    @Test func `the largest message fits into a packet`() throws {
        // A datagram of the largest length, whose options fill all fields.
        var octets = try DHCPLeaseTests.acknowledgment().octets
        octets.removeLast(octets.count - 240)
        octets.replaceSubrange(
            44..<108,
            with: [224, 61] + [UInt8](repeating: 1, count: 61) + [255]
        )
        octets.replaceSubrange(
            108..<236,
            with: [225, 125] + [UInt8](repeating: 1, count: 125) + [255]
        )
        octets += [53, 1, 6, 52, 1, 3]
        while octets.count <= 65_507 - 258 {
            octets += [224, 255] + [UInt8](repeating: 2, count: 255)
        }
        octets.append(255)
        let message = try DHCPMessage(reading: octets.span.bytes)
        let packet = LeaseBroker.packet(.refused(message))
        #expect(packet.count > 65_000 && packet.count <= LeaseBroker.maximumPacket)
        #expect(LeaseBroker.Request(reading: packet) == .apply(.refused(message)))
    }

    @Test func `anything else ends the helper`() throws {
        let lease = try #require(DHCPLease(acknowledgedBy: try Self.acknowledgment()))
        let packet = LeaseBroker.packet(.bound(lease))
        #expect(LeaseBroker.Request(reading: []) == nil)
        // The end itself, and kinds that do not exist.
        let kinds = (0...UInt8.max).filter { LeaseBroker.Request(reading: [$0]) != nil }
        #expect(kinds == [0, 3, 6])
        for count in 1..<240 {
            #expect(LeaseBroker.Request(reading: Array(packet.prefix(count))) == nil)
        }
        // An acknowledgment without an address is no lease.
        var message = lease.message
        message.yourAddress = .anyIPv4
        var refused = LeaseBroker.packet(.refused(message))
        refused[0] = packet[0]
        #expect(LeaseBroker.Request(reading: refused) == nil)
    }
}
