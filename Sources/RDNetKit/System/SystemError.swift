internal import CLinux
internal import Glibc

/// A system call that failed.
struct SystemError: Error, Equatable, CustomStringConvertible {
    /// The call, with its object where that helps: `bind 127.0.0.1:80`.
    let call: String
    /// The error number of the C library.
    let errno: Int32
    /// What is wrong, where this program itself refuses; nil for the C library's message.
    var explanation: String?

    /// The call and its error, such as `bind 127.0.0.1:80: Address already in use`.
    var description: String { "\(call): \(explanation ?? Self.message(errno))" }

    /// Creates the error for a name that is too long for its structure.
    static func tooLong(_ call: String) -> SystemError {
        SystemError(call: call, errno: ENAMETOOLONG)
    }

    /// Creates the error for a value that the call does not support.
    static func invalid(_ call: String) -> SystemError {
        SystemError(call: call, errno: EINVAL)
    }

    /// The error when the process has reached its limit of descriptors.
    static let outOfDescriptors = SystemError(call: "open", errno: EMFILE)

    /// Whether the process or the system has no more descriptors.
    var isOutOfDescriptors: Bool { errno == EMFILE || errno == ENFILE }

    /// Whether the caller may not do this.
    var isPermissionDenied: Bool { errno == EACCES || errno == EPERM }

    /// Whether the call timed out.
    var isTimeout: Bool { errno == ETIMEDOUT }

    /// Whether no interface has that name or index.
    var isMissingDevice: Bool { errno == ENODEV }

    /// Whether the kernel refused an IPv6 address because it has no IPv6 (EOPNOTSUPP,
    /// EAFNOSUPPORT), or because it is off on the interface (EACCES).
    var isWithoutIPv6: Bool { [EOPNOTSUPP, EAFNOSUPPORT, EACCES].contains(errno) }

    /// The message of the C library for an error number.
    ///
    /// See strerror(3).
    static func message(_ number: Int32) -> String {
        // Sound: strerror returns a NUL-terminated string, and this process has one thread.
        String(cString: strerror(number))
    }
}

/// Runs a system call, and repeats it while a signal interrupts it (EINTR).
///
/// - Parameters:
///   - call: The name for the error; evaluated only on failure.
///   - body: The call; it returns -1 and sets errno on failure.
/// - Returns: The result of the call.
/// - Throws: `SystemError` for every other errno; EBADF and EFAULT are bugs and stop the program.
@discardableResult
@inline(__always)
func systemCall<Result: FixedWidthInteger>(
    _ call: @autoclosure () -> String,
    _ body: () -> Result
) throws(SystemError) -> Result {
    while true {
        let result = body()
        if result != -1 { return result }
        let code = errno
        if code == EBADF || code == EFAULT { preconditionFailure("\(call()): errno \(code)") }
        if code != EINTR { throw SystemError(call: call(), errno: code) }
    }
}

/// Runs a system call on a non-blocking descriptor, and repeats it while interrupted (EINTR).
///
/// - Parameters:
///   - call: The name for the error; evaluated only on failure.
///   - body: The call; it returns -1 and sets errno on failure.
/// - Returns: The result of the call; nil when it would block (EAGAIN).
/// - Throws: `SystemError` for every other errno; EBADF and EFAULT are bugs and stop the program.
@inline(__always)
func attempt<Result: FixedWidthInteger>(
    _ call: @autoclosure () -> String,
    _ body: () -> Result
) throws(SystemError) -> Result? {
    while true {
        let result = body()
        if result != -1 { return result }
        let code = errno
        if code == EAGAIN { return nil }
        if code == EBADF || code == EFAULT { preconditionFailure("\(call()): errno \(code)") }
        if code != EINTR { throw SystemError(call: call(), errno: code) }
    }
}
