import Testing

@testable import RDNetKit

/// The messages without other source come from Linux 6.1 and radvd 2.19 on one virtual cable; their
/// checksums are zero here.
@Suite("neighbor discovery")
struct NeighborDiscoveryTests {
    typealias Message = NeighborDiscoveryMessage

    private static let guest = "fe80::5894:efff:fee4:cee"
    private static let routerSolicitation = octets(
        """
        85 00 00 00 00 00 00 00 \
        01 01 5a 94 ef e4 0c ee
        """
    )
    private static let routerAdvertisement = octets(
        """
        86 00 00 00 40 c0 00 1e 00 00 00 00 00 00 00 00 \
        03 04 40 c0 00 01 51 80 00 00 38 40 00 00 00 00 \
        fd c0 a8 7f 00 00 00 00 00 00 00 00 00 00 00 00 \
        19 03 00 00 00 00 07 08 fd c0 a8 7f 00 00 00 00 00 00 00 00 00 00 00 01 \
        1f 04 00 00 00 00 07 08 03 6c 61 6e 00 04 63 6f \
        72 70 07 65 78 61 6d 70 6c 65 00 00 00 00 00 00 \
        05 01 00 00 00 00 05 dc \
        01 01 5a 94 ef e4 0c dd
        """
    )
    /// Duplicate address detection, with a nonce (RFC 7527).
    private static let duplicateDetection = octets(
        """
        87 00 00 00 00 00 00 00 fe 80 00 00 00 00 00 00 58 94 ef ff fe e4 0c dd \
        0e 01 98 0f e3 e4 7e 46
        """
    )
    private static let neighborSolicitation = octets(
        """
        87 00 00 00 00 00 00 00 fd c0 a8 7f 00 00 00 00 00 00 00 00 00 00 00 01 \
        01 01 5a 94 ef e4 0c ee
        """
    )
    private static let neighborAdvertisement = octets(
        """
        88 00 00 00 e0 00 00 00 fd c0 a8 7f 00 00 00 00 00 00 00 00 00 00 00 01 \
        02 01 5a 94 ef e4 0c dd
        """
    )

    private static func read(
        _ octets: [UInt8],
        from source: String = guest,
        to destination: String = "ff02::1",
        hopLimit: UInt8 = 255
    ) throws -> Message {
        let envelope = Message.Envelope(
            source: try #require(IPAddress(source)),
            destination: try #require(IPAddress(destination)),
            hopLimit: hopLimit
        )
        return try Message(reading: octets.span.bytes, in: envelope)
    }

    // MARK: Captures

    @Test func `RFC 4861 4.1: reads and writes a router solicitation`() throws {
        let message = try Self.read(Self.routerSolicitation, to: "ff02::2")
        var expected = RouterSolicitation()
        expected.options.sourceLinkAddress = .standardGuest
        #expect(message == .routerSolicitation(expected))
        #expect(message.octets == Self.routerSolicitation)
    }

    @Test func `RFC 4861 4.2 and RFC 8106: reads a router advertisement of radvd`() throws {
        let message = try Self.read(Self.routerAdvertisement)
        guard case .routerAdvertisement(let advertisement) = message else {
            Issue.record("\(message)")
            return
        }
        #expect(advertisement.hopLimit == 64)
        #expect(advertisement.isManaged && advertisement.hasOtherConfiguration)
        #expect(advertisement.routerLifetime == 30)
        let options = advertisement.options
        #expect(options.mtu == 1500)
        #expect(options.sourceLinkAddress == .standardGateway)
        #expect(options.prefixes.count == 1)
        let prefix = try #require(options.prefixes.first)
        #expect("\(prefix.network)/\(prefix.length)" == "fdc0:a87f::/64")
        #expect(prefix.isOnLink && prefix.isAutonomous)
        #expect(prefix.validLifetime == 86_400 && prefix.preferredLifetime == 14_400)
        #expect(options.resolvers.map(\.lifetime) == [1800])
        #expect(options.resolvers.first?.values.map(\.description) == ["fdc0:a87f::1"])
        #expect(
            options.searchDomains == [.init(lifetime: 1800, values: ["lan", "corp.example"])]
        )
    }

    /// radvd writes the options in another order.
    @Test func `writes what radvd writes, in ascending order of the options`() throws {
        let message = try Self.read(Self.routerAdvertisement)
        let original = Self.routerAdvertisement
        let expected =
            original[..<16] + original[112...] + original[16..<48] + original[104..<112]
            + original[48..<104]
        #expect(message.octets == Array(expected))
    }

    @Test func `RFC 4861 4.3: reads and writes a neighbor solicitation`() throws {
        let message = try Self.read(Self.neighborSolicitation, to: "ff02::1:ff00:1")
        var expected = NeighborSolicitation(target: try #require(IPAddress("fdc0:a87f::1")))
        expected.options.sourceLinkAddress = .standardGuest
        #expect(message == .neighborSolicitation(expected))
        #expect(message.octets == Self.neighborSolicitation)
    }

    @Test func `RFC 4862 5.4.2: reads duplicate address detection with an unknown option`() throws {
        let message = try Self.read(Self.duplicateDetection, from: "::", to: "ff02::1:ffe4:cdd")
        let target = IPAddress.linkLocal(of: .standardGateway)
        #expect(message == .neighborSolicitation(NeighborSolicitation(target: target)))
    }

    @Test func `RFC 4861 4.4: reads and writes a neighbor advertisement`() throws {
        let message = try Self.read(Self.neighborAdvertisement, to: "fdc0:a87f::2")
        var expected = NeighborAdvertisement(target: try #require(IPAddress("fdc0:a87f::1")))
        expected.isRouter = true
        expected.isSolicited = true
        expected.overrides = true
        expected.options.targetLinkAddress = .standardGateway
        #expect(message == .neighborAdvertisement(expected))
        #expect(message.octets == Self.neighborAdvertisement)
    }

    // MARK: Rules

    private static let all = [
        routerSolicitation, routerAdvertisement, neighborSolicitation, neighborAdvertisement,
    ]

    @Test("RFC 4861 6.1 and 7.1: a message from beyond a router is invalid", arguments: all)
    func hopLimit(message: [UInt8]) throws {
        _ = try Self.read(message, to: "fdc0:a87f::2")
        #expect(throws: PacketError.notThisFormat) {
            try Self.read(message, to: "fdc0:a87f::2", hopLimit: 254)
        }
    }

    @Test("RFC 4861 6.1 and 7.1: a code other than 0 is invalid", arguments: all)
    func code(message: [UInt8]) {
        var message = message
        message[1] = 1
        #expect(throws: PacketError.notThisFormat) { try Self.read(message, to: "fdc0:a87f::2") }
    }

    @Test("RFC 4861 6.1 and 7.1: every shorter message is whole without options, or invalid")
    func lengths() {
        let withoutOptions = [8, 16, 24, 24]
        for (message, fixed) in zip(Self.all, withoutOptions) {
            let ends = [32, 56, 88, 96].map { $0 + fixed }
            for length in 0..<message.count {
                let piece = Array(message[..<length])
                let isWhole = (try? Self.read(piece, to: "fdc0:a87f::2")) != nil
                let mayBeWhole =
                    length == fixed || message[0] == 134 && ends.contains(length)
                #expect(!isWhole || mayBeWhole, "type \(message[0]), length \(length)")
                #expect(isWhole || length != fixed, "type \(message[0]), length \(length)")
            }
        }
    }

    @Test("RFC 4861 4.6: an option of length 0 makes the message invalid", arguments: all)
    func emptyOption(message: [UInt8]) {
        #expect(throws: PacketError.badLength(field: 0, available: 8)) {
            try Self.read(message + [0xfd, 0, 0, 0, 0, 0, 0, 0], to: "fdc0:a87f::2")
        }
    }

    @Test("RFC 4861 4.6: an option beyond the end makes the message invalid", arguments: all)
    func longOption(message: [UInt8]) {
        #expect(throws: PacketError.badLength(field: 16, available: 8)) {
            try Self.read(message + [0xfd, 2, 0, 0, 0, 0, 0, 0], to: "fdc0:a87f::2")
        }
        #expect(throws: PacketError.badLength(field: 2, available: 1)) {
            try Self.read(message + [0xfd], to: "fdc0:a87f::2")
        }
    }

    @Test(
        "a message that breaks a rule of its type is invalid",
        arguments: [
            (routerSolicitation, "::", "ff02::2", "6.1.1: a link address of no address"),
            (routerAdvertisement, "fdc0:a87f::1", "ff02::1", "6.1.2: not link-local"),
            (routerAdvertisement, "::", "ff02::1", "6.1.2: unspecified"),
            (neighborSolicitation, "::", "ff02::1:ff00:1", "7.1.1: a link address"),
            (duplicateDetection, "::", "fe80::1", "7.1.1: not to a solicited-node group"),
            (duplicateDetection, "::", "ff02::1", "7.1.1: to all nodes"),
            (neighborAdvertisement, "fe80::1", "ff02::1", "7.1.2: solicited by a group"),
        ]
    )
    func rules(message: [UInt8], source: String, destination: String, rule: String) {
        #expect(throws: PacketError.notThisFormat, "\(rule)") {
            try Self.read(message, from: source, to: destination)
        }
    }

    @Test(
        "RFC 4861 7.1: a target that is a group makes the message invalid",
        arguments: [neighborSolicitation, neighborAdvertisement]
    )
    func groupTarget(message: [UInt8]) {
        var message = message
        message.replaceSubrange(8..<10, with: [0xff, 0x02])
        #expect(throws: PacketError.notThisFormat) { try Self.read(message, to: "fdc0:a87f::2") }
    }

    @Test func `RFC 4861 6.1.1: a router solicitation without address and option is valid`() throws
    {
        let plain = Array(Self.routerSolicitation[..<8])
        let message = try Self.read(plain, from: "::", to: "ff02::2")
        #expect(message == .routerSolicitation(RouterSolicitation()))
    }

    @Test("other types are refused", arguments: [1, 128, 132, 137, 143] as [UInt8])
    func otherTypes(kind: UInt8) {
        #expect(throws: PacketError.notThisFormat) {
            try Self.read([kind] + Self.neighborSolicitation.dropFirst())
        }
    }

    @Test func `a link address that cannot be a sender's is skipped`() throws {
        var group = Self.neighborSolicitation
        group[26] = 0x5b
        var long = Array(Self.neighborSolicitation + [UInt8](repeating: 0, count: 8))
        long[25] = 2
        for octets in [group, long] {
            guard case .neighborSolicitation(let message) = try Self.read(octets) else {
                Issue.record("another type")
                return
            }
            #expect(message.options == NeighborDiscoveryOptions())
        }
    }

    @Test func `a list is cut to what one option holds`() throws {
        var advertisement = RouterAdvertisement()
        let resolvers = (0..<200).map { IPAddress(high: 0xfdc0_a87f << 32, low: $0) }
        let domains = (0..<32).map { "\($0)." + String(repeating: "a23456789.", count: 20) + "lan" }
        advertisement.options.resolvers = [.init(lifetime: 60, values: resolvers)]
        advertisement.options.searchDomains = [.init(lifetime: 60, values: domains)]
        let message = try Self.read(advertisement.octets)
        guard case .routerAdvertisement(let read) = message else {
            Issue.record("\(message)")
            return
        }
        #expect(read.options.resolvers == [.init(lifetime: 60, values: Array(resolvers[..<127]))])
        let kept = read.options.searchDomains.first?.values ?? []
        #expect(kept == Array(domains.prefix(kept.count)) && (9...10).contains(kept.count))
    }

    @Test("random messages are read or refused, and what is read can be written", arguments: 0..<20)
    func randomMessages(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        for _ in 0..<300 {
            var octets = Self.all[Int.random(in: 0..<4, using: &random)]
            octets += (0..<Int.random(in: 0...64, using: &random)).map { _ in
                UInt8.random(in: 0...255, using: &random)
            }
            for _ in 0..<Int.random(in: 0...8, using: &random) {
                let offset = Int.random(in: 2..<octets.count, using: &random)
                octets[offset] = .random(in: 0...255, using: &random)
            }
            guard let message = try? Self.read(octets, to: "fdc0:a87f::2") else { continue }
            #expect(try Self.read(message.octets, to: "fdc0:a87f::2") == message, "\(octets)")
        }
    }
}
