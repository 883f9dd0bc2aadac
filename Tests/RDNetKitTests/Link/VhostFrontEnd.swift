import CLinux
import Glibc
import Testing

@testable import RDNetKit

/// A scripted vhost-user front end with a guest's memory: a codec of its own, without any check.
///
/// The memory is one region of a mebibyte. The first 64 KiB have the two rings, the rest is for
/// buffers.
final class VhostFrontEnd {
    /// The two rings, from the guest's point of view.
    enum Ring: Int {
        case receiving, sending
    }

    static let guestAddress: UInt64 = 0x4000_0000
    static let ownAddress: UInt64 = 0x7f12_0000_0000
    static let fileOffset = 0x2000
    static let size = 1 << 20
    /// The entries of each ring.
    static let entries = 8
    /// Where buffers begin, in the region.
    static let buffers = 0x1_0000

    private let socket: OwnedDescriptor
    /// The file of the guest's memory.
    let file: Int32
    private let mapping: UnsafeMutableRawPointer
    private let kicks: [Int32]
    private let calls: [Int32]

    /// Connects to a link's address.
    convenience init(at path: String) throws {
        let file = "guest".withCString {
            clinux_syscall(Int(SYS_memfd_create), Int(bitPattern: $0), 1, 0, 0)
        }
        try #require(ftruncate(Int32(file), Self.fileOffset + Self.size) == 0)
        try self.init(Int32(file), at: path)
    }

    /// Connects with the memory of another front end, as one that reconnects.
    convenience init(sharing other: VhostFrontEnd, at path: String) throws {
        try self.init(dup(other.file), at: path)
    }

    private init(_ file: Int32, at path: String) throws {
        self.file = file
        socket = try Socket.make(AF_UNIX, .stream)
        #expect(try Socket.connect(socket, to: #require(SocketAddress(path: path))))
        let length = Self.fileOffset + Self.size
        mapping = try #require(mmap(nil, length, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0))
        kicks = (0..<2).map { _ in Int32(clinux_syscall(Int(SYS_eventfd2), 0, 0o2004000, 0, 0)) }
        calls = (0..<2).map { _ in Int32(clinux_syscall(Int(SYS_eventfd2), 0, 0o2004000, 0, 0)) }
    }

    deinit {
        munmap(mapping, Self.fileOffset + Self.size)
        for number in kicks + calls + [file] { close(number) }
    }

    // MARK: Messages

    /// Sends a message with descriptors.
    func send(
        _ request: UInt32,
        _ payload: [UInt8] = [],
        descriptors: [Int32] = [],
        flags: UInt32 = 1
    ) throws {
        let count = UInt32(payload.count)
        try send(
            octets: Self.word(request) + Self.word(flags) + Self.word(count) + payload,
            descriptors
        )
    }

    /// Sends any bytes with descriptors.
    func send(octets: [UInt8], _ descriptors: [Int32] = []) throws {
        var octets = octets
        var control = [UInt8](repeating: 0, count: 16 + (descriptors.count * 4 + 7) & ~7)
        control.withUnsafeMutableBytes { control in
            control.storeBytes(of: 16 + descriptors.count * 4, as: Int.self)
            control.storeBytes(of: SOL_SOCKET, toByteOffset: 8, as: Int32.self)
            control.storeBytes(of: 1, toByteOffset: 12, as: Int32.self)
            for (index, number) in descriptors.enumerated() {
                control.storeBytes(of: number, toByteOffset: 16 + 4 * index, as: Int32.self)
            }
        }
        let sent = octets.withUnsafeMutableBytes { octets in
            control.withUnsafeMutableBytes { control in
                var part = iovec(iov_base: octets.baseAddress, iov_len: octets.count)
                return withUnsafeMutablePointer(to: &part) { part in
                    var message = msghdr()
                    message.msg_iov = part
                    message.msg_iovlen = 1
                    message.msg_control = descriptors.isEmpty ? nil : control.baseAddress
                    message.msg_controllen = descriptors.isEmpty ? 0 : control.count
                    return sendmsg(socket.number, &message, Int32(MSG_NOSIGNAL))
                }
            }
        }
        try #require(sent == octets.count)
    }

    /// Returns the bytes of the answers that wait; nil at the end.
    func answers() throws -> [UInt8]? {
        var room = [UInt8](repeating: 0, count: 4096)
        let count = try room.withUnsafeMutableBytes { try Socket.receive(socket, into: $0) }
        return count == 0 ? nil : Array(room.prefix(count ?? 0))
    }

    /// A 32-bit number in little-endian order.
    static func word(_ number: UInt32) -> [UInt8] {
        (0..<4).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) }
    }

    /// A 64-bit number in little-endian order.
    static func long(_ number: UInt64) -> [UInt8] {
        word(UInt32(truncatingIfNeeded: number)) + word(UInt32(truncatingIfNeeded: number >> 32))
    }

    /// The table with the guest's memory.
    static func table(size: Int = VhostFrontEnd.size, offset: Int = fileOffset) -> [UInt8] {
        word(1) + word(0) + long(guestAddress) + long(UInt64(size)) + long(ownAddress)
            + long(UInt64(bitPattern: Int64(offset)))
    }

    /// Where a ring's three parts begin in the region.
    static func place(_ ring: Ring) -> (descriptors: Int, available: Int, used: Int) {
        let start = ring.rawValue * 0x4000
        return (start, start + 0x1000, start + 0x2000)
    }

    /// Sets up the device as QEMU does.
    func setUp(features: UInt64, base: UInt32 = 0) throws {
        try send(2, Self.long(features))
        try send(3)
        try send(5, Self.table(), descriptors: [file])
        try start(.receiving, base: base)
        try start(.sending)
    }

    /// Sets up one ring.
    func start(_ ring: Ring, base: UInt32 = 0) throws {
        let number = Self.word(UInt32(ring.rawValue))
        let place = Self.place(ring)
        let own = [place.descriptors, place.used, place.available].map {
            Self.long(Self.ownAddress + UInt64($0))
        }
        try send(8, number + Self.word(UInt32(Self.entries)))
        try send(10, number + Self.word(base))
        try send(9, number + Self.word(0) + own[0] + own[1] + own[2] + Self.long(0))
        let only = Self.long(UInt64(ring.rawValue))
        try send(13, only, descriptors: [calls[ring.rawValue]])
        try send(12, only, descriptors: [kicks[ring.rawValue]])
        try send(18, number + Self.word(1))
    }

    // MARK: The guest's memory

    /// Writes bytes into the region.
    func write(_ octets: [UInt8], at offset: Int) {
        let room = UnsafeMutableRawBufferPointer(
            start: mapping + Self.fileOffset + offset,
            count: octets.count
        )
        room.copyBytes(from: octets)
    }

    /// Reads bytes of the region.
    func read(_ count: Int, at offset: Int) -> [UInt8] {
        Array(UnsafeRawBufferPointer(start: mapping + Self.fileOffset + offset, count: count))
    }

    func read16(at offset: Int) -> UInt16 {
        (mapping + Self.fileOffset + offset).load(as: UInt16.self)
    }

    func write16(_ value: UInt16, at offset: Int) {
        (mapping + Self.fileOffset + offset).storeBytes(of: value, as: UInt16.self)
    }

    /// A descriptor: 1 another follows, 2 the device writes, 4 a table.
    static func descriptor(
        _ offset: Int,
        _ count: UInt32,
        flags: UInt32 = 0,
        next: UInt32 = 0
    ) -> [UInt8] {
        long(guestAddress + UInt64(offset)) + word(count) + word(flags | next << 16)
    }

    /// Writes a ring's descriptor.
    func describe(_ ring: Ring, _ index: Int, _ octets: [UInt8]) {
        write(octets, at: Self.place(ring).descriptors + 16 * index)
    }

    /// Makes a chain available.
    func offer(_ ring: Ring, head: UInt16) {
        let place = Self.place(ring).available
        let index = read16(at: place + 2)
        write16(head, at: place + 4 + 2 * (Int(index) % Self.entries))
        write16(index &+ 1, at: place + 2)
    }

    func kick(_ ring: Ring) {
        var one: UInt64 = 1
        Glibc.write(kicks[ring.rawValue], &one, 8)
    }

    /// How often the device called since the last time; 0 for never.
    func countCalls(_ ring: Ring) -> UInt64 {
        var count: UInt64 = 0
        return Glibc.read(calls[ring.rawValue], &count, 8) == 8 ? count : 0
    }

    func usedIndex(_ ring: Ring) -> UInt16 {
        read16(at: Self.place(ring).used + 2)
    }

    /// An entry of the used ring: the chain and the number of bytes written.
    func used(_ ring: Ring, _ index: Int) -> [UInt32] {
        let octets = read(8, at: Self.place(ring).used + 4 + 8 * (index % Self.entries))
        return octets.withUnsafeBytes {
            [$0.load(as: UInt32.self), $0.load(fromByteOffset: 4, as: UInt32.self)]
        }
    }
}
