/// Returns no path for the helper program that the Swift runtime would run after a crash: a single
/// static binary comes without one.
///
/// The runtime queries the path before `main`. Its own implementation starts with `/proc/self/exe`
/// and ends the process if `/proc` is not mounted, as in a bare chroot. The linker uses this
/// definition instead.
///
/// - Parameter name: `swift-backtrace`.
/// - Returns: NULL.
@_cdecl("swift_copyAuxiliaryExecutablePath")
public func auxiliaryExecutablePath(
    _ name: UnsafePointer<CChar>?
) -> UnsafeMutablePointer<CChar>? {
    nil
}
