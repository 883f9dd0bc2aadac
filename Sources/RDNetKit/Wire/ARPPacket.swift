/// An ARP packet for IPv4 over Ethernet (RFC 826): 28 bytes after the Ethernet header.
struct ARPPacket: Equatable {
    static let length = 28

    enum Operation: Equatable {
        case request
        case reply
        case other(UInt16)
    }

    var operation: Operation
    var senderMAC: MACAddress
    var senderAddress: IPAddress
    var targetMAC: MACAddress
    var targetAddress: IPAddress

    init(
        operation: Operation,
        senderMAC: MACAddress,
        senderAddress: IPAddress,
        targetMAC: MACAddress,
        targetAddress: IPAddress
    ) {
        self.operation = operation
        self.senderMAC = senderMAC
        self.senderAddress = senderAddress
        self.targetMAC = targetMAC
        self.targetAddress = targetAddress
    }

    init(reading packet: RawSpan) throws(PacketError) {
        guard packet.byteCount >= Self.length else {
            throw .truncated(needed: Self.length, available: packet.byteCount)
        }
        // Hardware type Ethernet, protocol type IPv4, address lengths 6 and 4.
        guard packet.bigEndian(at: 0, as: UInt64.self) >> 16 == 0x0001_0800_0604 else {
            throw .notThisFormat
        }
        switch packet.bigEndian(at: 6, as: UInt16.self) {
        case 1: operation = .request
        case 2: operation = .reply
        case let number: operation = .other(number)
        }
        senderMAC = MACAddress(reading: packet, at: 8)
        senderAddress = IPAddress(ipv4: packet.bigEndian(at: 14))
        targetMAC = MACAddress(reading: packet, at: 18)
        targetAddress = IPAddress(ipv4: packet.bigEndian(at: 24))
    }

    func write(to packet: inout MutableRawSpan) {
        packet.storeBigEndian(0x0001_0800_0604_0000 as UInt64, at: 0)
        packet.storeBigEndian(operationNumber, at: 6)
        senderMAC.write(to: &packet, at: 8)
        packet.storeBigEndian(UInt32(truncatingIfNeeded: senderAddress.low), at: 14)
        targetMAC.write(to: &packet, at: 18)
        packet.storeBigEndian(UInt32(truncatingIfNeeded: targetAddress.low), at: 24)
    }

    private var operationNumber: UInt16 {
        switch operation {
        case .request: 1
        case .reply: 2
        case .other(let number): number
        }
    }
}
