import Testing

@testable import RDNetKit

/// Messages as QEMU 7.2 sends them.
@Suite("vhost-user messages")
struct VhostMessageTests {
    private static let memory: WireFields = [
        ("request: SET_MEM_TABLE", "05000000"),
        ("flags: version 1, need reply", "09000000"),
        ("size: 72", "48000000"),
        ("regions: 2", "02000000"),
        ("padding", "00000000"),
        ("guest address: 0", "0000000000000000"),
        ("size: 0xc0000000", "000000c000000000"),
        ("user address: 0x7f1234000000", "00000034127f0000"),
        ("mmap offset: 0", "0000000000000000"),
        ("guest address: 4 GiB", "0000000001000000"),
        ("size: 0x40000000", "0000004000000000"),
        ("user address: 0x7f12f4000000", "000000f4127f0000"),
        ("mmap offset: 0xc0000000", "000000c000000000"),
    ]
    private static let addresses: WireFields = [
        ("request: SET_VRING_ADDR", "09000000"),
        ("flags: version 1", "01000000"),
        ("size: 40", "28000000"),
        ("index: 1", "01000000"),
        ("flags: no log", "00000000"),
        ("descriptor table", "00100034127f0000"),
        ("used ring", "40220034127f0000"),
        ("available ring", "00200034127f0000"),
        ("log", "0000000000000000"),
    ]
    private static let kick: WireFields = [
        ("request: SET_VRING_KICK", "0c000000"),
        ("flags: version 1", "01000000"),
        ("size: 8", "08000000"),
        ("ring 1, with a descriptor", "0100000000000000"),
    ]

    private func read(_ octets: [UInt8]) throws -> VhostRequest {
        let header = try VhostHeader(reading: octets.span.bytes)
        #expect(header.payloadLength == octets.count - VhostHeader.length)
        return try VhostRequest(header, Array(octets.dropFirst(VhostHeader.length)).span.bytes)
    }

    @Test func `a memory table`() throws {
        let octets = Self.memory.octets
        #expect(try VhostHeader(reading: octets.span.bytes).wantsReply)
        guard case .setMemory(let regions) = try read(octets) else {
            Issue.record("no memory table")
            return
        }
        #expect(regions.map(\.guestAddress) == [0, 1 << 32])
        #expect(regions.map(\.size) == [0xc000_0000, 0x4000_0000])
        #expect(regions.map(\.frontEndAddress) == [0x7f12_3400_0000, 0x7f12_f400_0000])
        #expect(regions.map(\.fileOffset) == [0, 0xc000_0000])
    }

    @Test func `a ring's addresses and its kick`() throws {
        let expected = VhostRingAddresses(
            descriptors: 0x7f12_3400_1000,
            used: 0x7f12_3400_2240,
            available: 0x7f12_3400_2000
        )
        #expect(try read(Self.addresses.octets) == .setRingAddresses(ring: 1, expected))
        #expect(try read(Self.kick.octets) == .setKick(ring: 1, hasDescriptor: true))
        let polled = Self.kick.setting("ring 1, with a descriptor", to: "0101000000000000")
        #expect(try read(polled.octets) == .setKick(ring: 1, hasDescriptor: false))
    }

    @Test("a memory table cut short is refused", arguments: 0..<72)
    func shortTable(length: Int) throws {
        let octets = Self.memory.octets
        let header = try VhostHeader(reading: octets.span.bytes)
        #expect(throws: PacketError.self) {
            try VhostRequest(header, Array(octets.dropFirst(12).prefix(length)).span.bytes)
        }
    }

    @Test("a head cut short is refused", arguments: 0..<12)
    func shortHead(length: Int) {
        #expect(throws: PacketError.truncated(needed: 12, available: length)) {
            try VhostHeader(reading: Array(Self.kick.octets.prefix(length)).span.bytes)
        }
    }

    @Test("a head of another version, a reply, and too long a payload are refused")
    func badHead() {
        for flags in ["00000000", "02000000", "05000000"] {
            let other = Self.kick.setting("flags: version 1", to: flags)
            #expect(throws: PacketError.notThisFormat) {
                try VhostHeader(reading: other.octets.span.bytes)
            }
        }
        let long = Self.kick.setting("size: 8", to: "09010000")
        #expect(throws: PacketError.badLength(field: 265, available: 264)) {
            try VhostHeader(reading: long.octets.span.bytes)
        }
    }

    @Test func `answers`() throws {
        let header = try VhostHeader(reading: Self.kick.octets.span.bytes)
        let number: WireFields = [
            ("request", "0c000000"), ("flags: version 1, reply", "05000000"),
            ("size: 8", "08000000"), ("number", "efcdab8967452301"),
        ]
        #expect(VhostReply(to: header, 0x0123_4567_89ab_cdef).octets == number.octets)
        let base: WireFields = [
            ("request", "0c000000"), ("flags: version 1, reply", "05000000"),
            ("size: 8", "08000000"), ("index: 1", "01000000"), ("num: 0x1234", "34120000"),
        ]
        #expect(VhostReply(to: header, ring: 1, index: 0x1234).octets == base.octets)
    }

    @Test func `a descriptor`() {
        let descriptor = VirtioDescriptor(
            address: 0x1234_5678_9abc_def0,
            rest: 0xbeef_0005_8000_0001
        )
        #expect(descriptor.address == 0x1234_5678_9abc_def0)
        #expect(descriptor.count == 0x8000_0001)
        #expect(descriptor.hasNext && !descriptor.isWritable && descriptor.isTable)
        #expect(descriptor.next == 0xbeef)
    }

    @Test(
        "the other side wants to know when its event is passed",
        arguments: [
            // event, old, new
            (0 as UInt16, 0 as UInt16, 1 as UInt16, true), (1, 0, 1, false), (1, 0, 2, true),
            (0, 1, 2, false), (0xffff, 0xfffe, 1, true), (0xfffe, 0xffff, 2, false),
            (5, 3, 3, false),
        ]
    )
    func event(event: UInt16, old: UInt16, new: UInt16, isPassed: Bool) {
        #expect(VirtioRingLayout.hasPassed(event, from: old, to: new) == isPassed)
    }
}
