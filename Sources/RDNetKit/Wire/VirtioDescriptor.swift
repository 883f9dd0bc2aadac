/// One entry of a descriptor table: where a buffer of the guest lies (virtio 1.2, 2.7.5), 16 bytes.
///
/// ```
///  0  address in the guest's memory, 64 bits
///  8  length in bytes, 32 bits
/// 12  flags: 1 another follows, 2 the device writes, 4 a table of descriptors
/// 14  index of the next descriptor
/// ```
struct VirtioDescriptor: Equatable {
    static let length = 16

    var address: UInt64
    /// The buffer's length in bytes, up to 4 GiB.
    var count: Int
    var hasNext: Bool
    /// Whether the device writes the buffer; otherwise it reads it.
    var isWritable: Bool
    /// Whether the buffer is a table of descriptors.
    var isTable: Bool
    var next: Int

    /// Reads the two words of an entry, each of which was loaded once.
    @inline(__always)
    init(address: UInt64, rest: UInt64) {
        self.address = UInt64(littleEndian: address)
        let rest = UInt64(littleEndian: rest)
        count = Int(rest & 0xffff_ffff)
        hasNext = rest & 1 << 32 != 0
        isWritable = rest & 2 << 32 != 0
        isTable = rest & 4 << 32 != 0
        next = Int(rest >> 48)
    }
}

/// The layout of the rings beside a descriptor table (virtio 1.2, 2.7.6 and 2.7.8).
///
/// Available: flags, index, a descriptor's number for each entry, `used_event`; 16 bits each. Used:
/// flags and index of 16 bits, number and length of 32 bits for each entry, `avail_event`.
enum VirtioRingLayout {
    static let maximumSize = 32_768
    static let index = 2
    static let entries = 4

    static func tableLength(_ size: Int) -> Int { VirtioDescriptor.length * size }
    static func availableLength(_ size: Int) -> Int { entries + 2 * size + 2 }
    static func usedLength(_ size: Int) -> Int { entries + 8 * size + 2 }
    /// The offset of `used_event`.
    static func usedEvent(_ size: Int) -> Int { entries + 2 * size }
    /// The offset of `avail_event`.
    static func availableEvent(_ size: Int) -> Int { entries + 8 * size }

    static func isValid(size: Int) -> Bool {
        size > 0 && size <= maximumSize && size & (size - 1) == 0
    }

    /// Whether an index has passed the event that the other side waits for (2.7.10,
    /// `vring_need_event`).
    @inline(__always)
    static func hasPassed(_ event: UInt16, from old: UInt16, to new: UInt16) -> Bool {
        new &- event &- 1 < new &- old
    }
}

/// How a guest broke the rules of its rings.
enum VirtioFault: Error, Equatable, CustomStringConvertible {
    /// The available index is further ahead than the ring has entries.
    case indexJumped(from: UInt16, to: UInt16)
    case noSuchDescriptor(Int)
    /// A chain has more descriptors than its table, because it loops.
    case endlessChain
    /// A buffer is not in the guest's memory.
    case outsideMemory(address: UInt64, length: Int)
    /// A table in a table, one of an odd size, or one that was not agreed.
    case badTable
    /// A buffer that the device should write is read-only, or the other way around.
    case wrongDirection
    /// The buffers are too small for one frame even if the ring is full of them.
    case tinyBuffers

    var description: String {
        switch self {
        case .indexJumped(let from, let to): "the ring's index jumped from \(from) to \(to)"
        case .noSuchDescriptor(let number): "the ring has no descriptor \(number)"
        case .endlessChain: "a chain of descriptors has no end"
        case .outsideMemory(let address, let length):
            "\(length) bytes at 0x\(String(address, radix: 16)) are outside the guest's memory"
        case .badTable: "a table of descriptors is invalid"
        case .wrongDirection: "a buffer has the wrong direction"
        case .tinyBuffers: "the guest's buffers are too small"
        }
    }
}
