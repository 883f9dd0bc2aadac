import Testing

@testable import RDNetKit

@Suite("echo requests that may get replies")
struct EchoRequestsTests {
    private let host = IPAddress(ipv4: 0x0a00_0001)
    private let other = IPAddress(ipv4: 0x0a00_0002)
    private let start = Instant(nanoseconds: 1_000_000_000)
    private let data = Array("0123456789abcdefghijklmnop".utf8)
    private var requests = EchoRequests()

    private func message(
        _ kind: GuestWire.ICMP.Kind,
        _ sequence: UInt16,
        _ data: [UInt8]
    ) -> [UInt8] {
        ScriptedGuest.icmp(kind, rest: 0x1234_0000 | UInt32(sequence), data)
    }

    private mutating func send(_ sequence: UInt16, to host: IPAddress, at now: Instant) {
        message(.echoRequest, sequence, data).withUnsafeBytes {
            requests.record($0, to: host, now: now)
        }
    }

    private mutating func accepts(
        _ sequence: UInt16,
        _ data: [UInt8]? = nil,
        from host: IPAddress,
        at now: Instant
    ) -> Bool {
        message(.echoReply, sequence, data ?? self.data).withUnsafeBytes {
            requests.accept($0, from: host, now: now)
        }
    }

    @Test mutating func `a reply needs a request to the same host with the same sequence number`() {
        send(7, to: host, at: start)
        let accepted = accepts(7, from: host, at: start)
        #expect(accepted)
        for (sequence, sender) in [(8, host), (7, other), (7 + 512, host)] as [(UInt16, IPAddress)]
        {
            let isAccepted = accepts(sequence, from: sender, at: start)
            #expect(!isAccepted)
        }
    }

    @Test mutating func `a reply returns the request's data, or the start of it`() {
        send(7, to: host, at: start)
        var changed = data
        changed[12] ^= 1
        for other in [changed, data + [0], [], Array(data[..<8])] {
            let isAccepted = accepts(7, other, from: host, at: start)
            #expect(!isAccepted)
        }
        let isAccepted = accepts(7, Array(data[..<16]), from: host, at: start)
        #expect(isAccepted)
    }

    @Test mutating func `duplicates come within five seconds, the first reply within a minute`() {
        send(1, to: host, at: start)
        send(2, to: host, at: start)
        let late = start + .seconds(59)
        let isAccepted = accepts(1, from: host, at: start + .seconds(49))
        let isDuplicate = accepts(1, from: host, at: start + .seconds(53))
        let isStale = accepts(1, from: host, at: late)
        let isLate = accepts(2, from: host, at: late)
        let isTooLate = accepts(2, from: host, at: start + .seconds(60))
        #expect(isAccepted && isDuplicate && isLate && !isStale && !isTooLate)
    }

    @Test mutating func `hundreds of requests to one host, and one to each of many, are all known`()
    {
        for sequence in 65_300...65_535 as ClosedRange<UInt16> {
            send(sequence, to: host, at: start)
        }
        for sequence in 0..<200 as Range<UInt16> { send(sequence, to: host, at: start) }
        for sequence in [65_300, 65_535, 0, 199] as [UInt16] {
            let isAccepted = accepts(sequence, from: host, at: start)
            #expect(isAccepted)
        }
        for last in 1..<255 as Range<UInt32> {
            send(9, to: IPAddress(ipv4: 0x0a00_0100 | last), at: start)
        }
        for last in [1, 100, 254] as [UInt32] {
            let isAccepted = accepts(9, from: IPAddress(ipv4: 0x0a00_0100 | last), at: start)
            #expect(isAccepted)
        }
    }
}
