internal import CLinux
internal import Glibc

/// The machine's log, whatever daemon keeps it: one datagram for each line.
///
/// A message is `<PRIORITY>`, the program's name and process, and the text (syslog(3), RFC 3164).
final class SystemLog {
    static let path = "/dev/log"
    /// Facility 3 (daemons), severity 6 (informational).
    private static let priority = 3 << 3 | 6

    private let descriptor: OwnedDescriptor
    private let address: SocketAddress
    private let prefix: [UInt8]
    private var failure: Int32?

    /// Connects to the log's socket.
    ///
    /// - Throws: `SystemError`, such as ENOENT where no daemon listens.
    init() throws(SystemError) {
        guard let address = SocketAddress(path: Self.path) else { throw .tooLong(Self.path) }
        self.address = address
        prefix = Array("<\(Self.priority)>rdnet[\(ProcessEnvironment.process)]: ".utf8)
        descriptor = try Socket.make(AF_UNIX, SOCK_DGRAM)
        _ = try Socket.connect(descriptor, to: address)
    }

    /// Sends whole lines without waiting; the log's daemon may have been restarted.
    ///
    /// - Parameter octets: One or more lines.
    /// - Returns: The number of bytes of the lines that were sent.
    func write(_ octets: ArraySlice<UInt8>) -> Int {
        var count = 0
        for line in octets.split(separator: UInt8(ascii: "\n")) {
            guard send(prefix + line) else { break }
            count += line.count + 1
        }
        return count
    }

    /// Why the last line was lost.
    var lossCause: String {
        failure.map { SystemError.message($0) } ?? "the log's daemon was too slow"
    }

    private func send(_ message: [UInt8]) -> Bool {
        do throws(SystemError) {
            return try trySend(message)
        } catch {
            failure = error.errno
        }
        do throws(SystemError) {
            _ = try Socket.connect(descriptor, to: address)
            return try trySend(message)
        } catch {
            failure = error.errno
            return false
        }
    }

    private func trySend(_ message: [UInt8]) throws(SystemError) -> Bool {
        let isSent = try Socket.send(descriptor, message) != nil
        failure = nil
        return isSent
    }
}
