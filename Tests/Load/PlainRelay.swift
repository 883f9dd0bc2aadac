import CLinux
import Glibc

/// A guest end without offloads, like gvforwarder and the programs that rdnet replaces.
///
/// A plain TAP interface; a stream from `/connect` with 16-bit little-endian lengths; one write per
/// frame; one thread per direction.
final class PlainRelay: Sendable {
    private static let maximumFrameLength = 4_014
    /// The request that gvproxy answers with frames.
    private static let call = Array(
        "POST /connect HTTP/1.1\r\nHost: \r\nContent-Length: 0\r\n\r\n".utf8
    )

    private let tap: Int32
    private let stream: Int32

    /// Creates the interface and connects to the host.
    init(path: String, interface: String) {
        tap = openTAP(interface)
        stream = connectToPath(path)
        guard stream >= 0 else { fail("\(path): \(String(cString: strerror(errno)))") }
        check("write") { [stream] in write(stream, Self.call, Self.call.count) }
    }

    /// Forwards frames until the host closes the connection.
    func run() -> Never {
        var thread = pthread_t()
        let context = Unmanaged.passRetained(self).toOpaque()
        pthread_create(
            &thread,
            nil,
            { context in
                guard let context else { return nil }
                Unmanaged<PlainRelay>.fromOpaque(context).takeUnretainedValue().carryOut()
            },
            context
        )
        carryIn()
    }

    private func carryOut() -> Never {
        var octets = [UInt8](repeating: 0, count: 2 + Self.maximumFrameLength)
        while true {
            let count = octets.withUnsafeMutableBytes { room in
                check("read TAP") { [tap] in
                    read(tap, room.baseAddress.map { $0 + 2 }, Self.maximumFrameLength)
                }
            }
            (octets[0], octets[1]) = (UInt8(count & 0xff), UInt8(count >> 8))
            guard write(stream, octets, 2 + count) == 2 + count else { exit(0) }
        }
    }

    private func carryIn() -> Never {
        var octets = [UInt8](repeating: 0, count: 1 << 16)
        var filled = 0
        while true {
            let count = octets.withUnsafeMutableBytes { room in
                read(stream, room.baseAddress.map { $0 + filled }, room.count - filled)
            }
            guard count > 0 else { exit(0) }
            filled += count
            var start = 0
            while filled - start >= 2 {
                let length = Int(octets[start]) | Int(octets[start + 1]) << 8
                guard filled - start >= 2 + length else { break }
                octets.withUnsafeBytes { whole in
                    // Frames that the interface does not take are lost, as on a wire.
                    _ = write(tap, whole.baseAddress.map { $0 + start + 2 }, length)
                }
                start += 2 + length
            }
            octets.withUnsafeMutableBytes { whole in
                whole.copyMemory(from: UnsafeRawBufferPointer(rebasing: whole[start..<filled]))
            }
            filled -= start
        }
    }
}

/// Creates a TAP interface whose frames have no prefix.
func openTAP(_ interface: String) -> Int32 {
    let tap = check("/dev/net/tun") { open("/dev/net/tun", O_RDWR | O_CLOEXEC) }
    var request = ifreq()
    // Sound: the name fits including its terminator, or the program has ended.
    withUnsafeMutableBytes(of: &request.ifr_ifrn) { name in
        guard interface.utf8.count < Int(IFNAMSIZ) else { fail("\"\(interface)\" is too long") }
        name.copyBytes(from: interface.utf8)
    }
    request.ifr_ifru.ifru_flags = Int16(IFF_TAP | IFF_NO_PI)
    check("TUNSETIFF") { ioctl(tap, UInt(CLINUX_TUNSETIFF), &request) }
    return tap
}

/// Returns a blocking socket that is connected to a unix socket; -1 if nothing listens there.
///
/// - Parameters:
///   - path: The listener's path.
///   - kind: The listener's kind.
///   - name: The path to bind to first, for answers without a connection.
/// - Returns: The descriptor, or -1.
func connectToPath(
    _ path: String,
    _ kind: __socket_type = SOCK_STREAM,
    from name: String? = nil
) -> Int32 {
    let flags = Int32(SOCK_CLOEXEC.rawValue)
    let descriptor = check("socket") { socket(AF_UNIX, Int32(kind.rawValue) | flags, 0) }
    if let name { check("bind \(name)") { lendAddress(name) { bind(descriptor, $0, $1) } } }
    if lendAddress(path, { connect(descriptor, $0, $1) }) == 0 { return descriptor }
    close(descriptor)
    return -1
}

/// Passes a unix socket's address to a system call.
private func lendAddress(
    _ path: String,
    _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
) -> Int32 {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    // Sound: the path fits including its terminator, or the program has ended.
    withUnsafeMutableBytes(of: &address.sun_path) { room in
        guard path.utf8.count < room.count else { fail("\"\(path)\" is too long") }
        room.copyBytes(from: path.utf8)
    }
    // Sound: a sockaddr_un begins like every sockaddr, and the call gets its length.
    return withUnsafePointer(to: address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
        }
    }
}
