internal import CLinux
internal import Glibc

/// A system call that failed.
struct SystemError: Error, Equatable, CustomStringConvertible {
    /// The call, and what it was done to where that helps: `bind 127.0.0.1:80`.
    let call: String
    /// The C library's error number.
    let errno: Int32

    /// `bind 127.0.0.1:80: Address already in use`.
    var description: String { "\(call): \(Self.message(errno))" }

    /// A name that does not fit into the structure it belongs in.
    static func tooLong(_ call: String) -> SystemError {
        SystemError(call: call, errno: ENAMETOOLONG)
    }

    /// A value that means nothing to the call.
    static func invalid(_ call: String) -> SystemError {
        SystemError(call: call, errno: EINVAL)
    }

    /// The process's limit of descriptors.
    static let outOfDescriptors = SystemError(call: "open", errno: EMFILE)

    /// Whether the process or the system has no more descriptors.
    var isOutOfDescriptors: Bool { errno == EMFILE || errno == ENFILE }

    /// Whether it took too long.
    var isTimeout: Bool { errno == ETIMEDOUT }

    /// Whether there is no interface of that name or number.
    var isMissingDevice: Bool { errno == ENODEV }

    /// The C library's sentence for an error number.
    ///
    /// See strerror(3).
    static func message(_ number: Int32) -> String {
        // Sound: strerror returns a NUL-terminated string, and this process has one thread.
        String(cString: strerror(number))
    }
}

/// Runs a system call until it is not interrupted (EINTR).
///
/// - Parameters:
///   - call: The name for the error; built only when it fails.
///   - body: The call; it returns -1 and sets errno on failure.
/// - Returns: What the call returned.
/// - Throws: `SystemError` for every errno but EINTR.
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

/// Runs a system call on a non-blocking descriptor.
///
/// - Parameters:
///   - call: The name for the error; built only when it fails.
///   - body: The call; it returns -1 and sets errno on failure.
/// - Returns: What the call returned, or nil when it would have blocked (EAGAIN).
/// - Throws: `SystemError` for every errno but EINTR and EAGAIN.
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
