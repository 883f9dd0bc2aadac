internal import CLinux

/// Loads and stores of words that another program changes at the same time.
///
/// Each load happens exactly once, so what was checked is what is used. The addresses must be
/// aligned. See `CLinux.h`.
enum SharedWords {
    @inline(__always)
    static func load16(_ address: UnsafeRawPointer) -> UInt16 { clinux_load_16(address) }

    @inline(__always)
    static func load64(_ address: UnsafeRawPointer) -> UInt64 { UInt64(clinux_load_64(address)) }

    /// Loads a word before all later accesses.
    @inline(__always)
    static func loadFirst16(_ address: UnsafeRawPointer) -> UInt16 {
        clinux_load_acquire_16(address)
    }

    @inline(__always)
    static func store16(_ value: UInt16, to address: UnsafeMutableRawPointer) {
        clinux_store_16(address, value)
    }

    @inline(__always)
    static func store32(_ value: UInt32, to address: UnsafeMutableRawPointer) {
        clinux_store_32(address, value)
    }

    /// Stores a word after all earlier accesses.
    @inline(__always)
    static func storeLast16(_ value: UInt16, to address: UnsafeMutableRawPointer) {
        clinux_store_release_16(address, value)
    }

    /// Orders all earlier stores before all later loads.
    @inline(__always)
    static func fence() { clinux_fence() }
}
