/// Where the Swift runtime finds a program that it could run in a crash: there is none beside one
/// static file.
///
/// The runtime asks before `main`, and its own answer begins with `/proc/self/exe` and ends the
/// process where `/proc` is not mounted, as in a bare chroot. This definition is linked in place of
/// it.
///
/// - Parameter name: `swift-backtrace`.
/// - Returns: NULL.
@_cdecl("swift_copyAuxiliaryExecutablePath")
public func auxiliaryExecutablePath(
    _ name: UnsafePointer<CChar>?
) -> UnsafeMutablePointer<CChar>? {
    nil
}
