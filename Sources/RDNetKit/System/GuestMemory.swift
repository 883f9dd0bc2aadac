internal import CLinux
internal import Glibc

/// The memory of a virtual machine, mapped from the files that its front end passed.
///
/// How it works: the guest and the front end change this memory at any time. Whoever uses it
/// therefore checks each address once, with `part`, and copies everything that it judges before it
/// judges it. Only files in memory are mapped (memfd, tmpfs, hugetlbfs: those that have seals),
/// because a page of any other file can take forever to arrive. A page beyond the end of a file
/// raises SIGBUS; `init` checks the files' lengths, and `LostMemory` covers files that are cut
/// later.
final class GuestMemory {
    private struct Region {
        var guestAddress: UInt64
        var frontEndAddress: UInt64
        var size: UInt64
        /// The first byte of the region.
        var start: UnsafeMutableRawPointer
        var mapping: UnsafeMutableRawBufferPointer
    }

    /// More than a process can map; keeps sums from overflowing.
    private static let maximumEnd: UInt64 = 1 << 47

    private var regions: [Region] = []

    /// Maps the regions of a table.
    ///
    /// - Parameters:
    ///   - table: The regions.
    ///   - descriptors: A descriptor for each region, in the same sequence.
    /// - Throws: `SystemError` if a region is not in its file, or the kernel cannot map it.
    init(
        _ table: [VhostMemoryRegion],
        _ descriptors: inout ReceivedDescriptors
    ) throws(SystemError) {
        regions.reserveCapacity(table.count)
        for region in table {
            guard let file = descriptors.takeFirst() else {
                throw .invalid("memory region without a descriptor")
            }
            regions.append(try Self.map(region, file))
        }
    }

    deinit {
        for region in regions {
            LostMemory.forget(region.mapping)
            munmap(region.mapping.baseAddress, region.mapping.count)
        }
    }

    /// Whether a file was cut below what was mapped; what is read there is zero from then on.
    var isLost: Bool { LostMemory.hasLosses && regions.contains { LostMemory.isLost($0.mapping) } }

    private static func map(
        _ region: VhostMemoryRegion,
        _ file: borrowing OwnedDescriptor
    ) throws(SystemError) -> Region {
        let number = file.number
        var status = stat()
        try systemCall("fstat") { fstat(number, &status) }
        guard status.st_mode & S_IFMT == S_IFREG, fcntl(number, Int32(CLINUX_F_GET_SEALS)) >= 0
        else { throw .invalid("memory region that is no memfd, tmpfs or hugetlbfs file") }
        let (end, isTooLong) = region.fileOffset.addingReportingOverflow(region.size)
        guard !isTooLong, region.size > 0, end <= Self.maximumEnd,
            end <= UInt64(max(status.st_size, 0)),
            !region.guestAddress.addingReportingOverflow(region.size).overflow,
            !region.frontEndAddress.addingReportingOverflow(region.size).overflow
        else { throw .invalid("memory region beyond the end of its file") }
        // A mapping of huge pages ends at a multiple of one, which is also the file's block size.
        let page = UInt64(max(status.st_blksize, 4096))
        let length = Int((end + page - 1) / page * page)
        let address = mmap(nil, length, PROT_READ | PROT_WRITE, MAP_SHARED, number, 0)
        guard let address, address != MAP_FAILED else {
            throw SystemError(call: "mmap", errno: errno)
        }
        let mapping = UnsafeMutableRawBufferPointer(start: address, count: length)
        guard LostMemory.watch(mapping) else {
            munmap(address, length)
            throw .invalid("more memory regions than \(LostMemory.maximumCount)")
        }
        return Region(
            guestAddress: region.guestAddress,
            frontEndAddress: region.frontEndAddress,
            size: region.size,
            start: address + Int(region.fileOffset),
            mapping: mapping
        )
    }

    /// The first part of a range of the guest's memory that is in one piece here.
    ///
    /// - Parameters:
    ///   - address: In the guest's memory.
    ///   - count: The length of the range, in bytes.
    /// - Returns: Memory that others change; nil if the range begins outside.
    @inline(__always)
    func part(at address: UInt64, _ count: Int) -> UnsafeMutableRawBufferPointer? {
        for region in regions {
            let offset = address &- region.guestAddress
            if offset < region.size {
                return UnsafeMutableRawBufferPointer(
                    start: region.start + Int(offset),
                    count: min(count, Int(region.size - offset))
                )
            }
        }
        return nil
    }

    /// The memory at an address of the front end.
    ///
    /// - Parameters:
    ///   - address: In the front end's memory.
    ///   - count: The length in bytes.
    ///   - alignment: What the address must be a multiple of.
    /// - Returns: Memory that others change; nil if a part of it is outside.
    func piece(
        atFrontEnd address: UInt64,
        _ count: Int,
        alignment: Int
    ) -> UnsafeMutableRawPointer? {
        for region in regions {
            let offset = address &- region.frontEndAddress
            guard offset < region.size, UInt64(count) <= region.size - offset else { continue }
            let start = region.start + Int(offset)
            return Int(bitPattern: start) % alignment == 0 ? start : nil
        }
        return nil
    }
}
