import Glibc
import RDNetKit

// rdnet with an allocation counter. The linker redirects every call of the allocator's functions to
// this file (--wrap), so the count is exact; everything else is the program as built for use.

/// The counter, in the mapped file that RDNET_ALLOCATIONS names; a test reads it at run time.
nonisolated(unsafe) private var allocations: UnsafeMutablePointer<UInt64>?

@_silgen_name("__real_malloc")
private func realMalloc(_ size: Int) -> UnsafeMutableRawPointer?
@_silgen_name("__real_calloc")
private func realCalloc(_ count: Int, _ size: Int) -> UnsafeMutableRawPointer?
@_silgen_name("__real_realloc")
private func realRealloc(_ block: UnsafeMutableRawPointer?, _ size: Int) -> UnsafeMutableRawPointer?
@_silgen_name("__real_posix_memalign")
private func realPosixMemalign(
    _ block: UnsafeMutableRawPointer,
    _ alignment: Int,
    _ size: Int
) -> Int32
@_silgen_name("__real_aligned_alloc")
private func realAlignedAlloc(_ alignment: Int, _ size: Int) -> UnsafeMutableRawPointer?

@inline(__always)
private func countAllocation() {
    allocations?.pointee &+= 1
}

@_cdecl("__wrap_malloc")
func wrapMalloc(_ size: Int) -> UnsafeMutableRawPointer? {
    countAllocation()
    return realMalloc(size)
}

@_cdecl("__wrap_calloc")
func wrapCalloc(_ count: Int, _ size: Int) -> UnsafeMutableRawPointer? {
    countAllocation()
    return realCalloc(count, size)
}

@_cdecl("__wrap_realloc")
func wrapRealloc(_ block: UnsafeMutableRawPointer?, _ size: Int) -> UnsafeMutableRawPointer? {
    countAllocation()
    return realRealloc(block, size)
}

@_cdecl("__wrap_posix_memalign")
func wrapPosixMemalign(
    _ block: UnsafeMutableRawPointer,
    _ alignment: Int,
    _ size: Int
) -> Int32 {
    countAllocation()
    return realPosixMemalign(block, alignment, size)
}

@_cdecl("__wrap_aligned_alloc")
func wrapAlignedAlloc(_ alignment: Int, _ size: Int) -> UnsafeMutableRawPointer? {
    countAllocation()
    return realAlignedAlloc(alignment, size)
}

/// Maps the counter's file, if the environment names one.
private func beginCounting() {
    guard let path = getenv("RDNET_ALLOCATIONS") else { return }
    let descriptor = open(path, O_RDWR | O_CLOEXEC)
    guard descriptor >= 0 else { return perror("RDNET_ALLOCATIONS") }
    let page = mmap(nil, 8, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
    guard page != MAP_FAILED else { return perror("mmap") }
    allocations = page?.bindMemory(to: UInt64.self, capacity: 1)
}

beginCounting()
exit(RDNet.run(CommandLine.arguments))
