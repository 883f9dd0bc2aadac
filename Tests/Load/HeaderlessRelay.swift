import CLinux
import Glibc

/// A guest's device like libkrun's: the kernel leaves checksums and TCP segmentation to it.
///
/// No header on the socket says so. Frames pass unchanged between a TAP interface, which represents
/// the guest's, and a host's socket of any kind. Each direction has its own thread.
final class HeaderlessRelay: Sendable {
    /// The transport of frames on the socket.
    enum Transport: String {
        /// Each frame follows its length: 16 bits little-endian, or 32 bits big-endian.
        case short, qemu
        /// Each frame is a packet or a datagram.
        case bess, vfkit

        var prefixLength: Int {
            switch self {
            case .short: 2
            case .qemu: 4
            case .bess, .vfkit: 0
            }
        }
    }

    private static let maximumFrameLength = 1 << 17

    private let tap: Int32
    private let socket: Int32
    private let transport: Transport

    /// Creates the interface and connects to the host.
    init(_ transport: Transport, path: String, interface: String) {
        self.transport = transport
        tap = openTAP(interface)
        let offloads = Int32(TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6)
        check("TUNSETOFFLOAD") { [tap] in
            ioctl(tap, UInt(CLINUX_TUNSETOFFLOAD), offloads)
        }
        switch transport {
        case .short, .qemu: socket = connectToPath(path)
        case .bess: socket = connectToPath(path, SOCK_SEQPACKET)
        case .vfkit: socket = connectToPath(path, SOCK_DGRAM, from: "\(path).\(interface)")
        }
        guard socket >= 0 else { fail("\(path): \(String(cString: strerror(errno)))") }
        for option in [SO_SNDBUF, SO_RCVBUF] { setOption(socket, SOL_SOCKET, option, 4 << 20) }
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
                Unmanaged<HeaderlessRelay>.fromOpaque(context).takeUnretainedValue().carryOut()
            },
            context
        )
        carryIn()
    }

    private func carryOut() -> Never {
        let prefix = transport.prefixLength
        var octets = [UInt8](repeating: 0, count: prefix + Self.maximumFrameLength)
        while true {
            let count = octets.withUnsafeMutableBytes { room in
                check("read TAP") { [tap] in
                    read(tap, room.baseAddress.map { $0 + prefix }, Self.maximumFrameLength)
                }
            }
            for index in 0..<prefix {
                let shift = transport == .short ? 8 * index : 8 * (prefix - 1 - index)
                octets[index] = UInt8(truncatingIfNeeded: count >> shift)
            }
            guard write(socket, octets, prefix + count) == prefix + count else { exit(0) }
        }
    }

    private func carryIn() -> Never {
        var octets = [UInt8](repeating: 0, count: 1 << 18)
        var filled = 0
        while true {
            let count = octets.withUnsafeMutableBytes { room in
                read(socket, room.baseAddress.map { $0 + filled }, room.count - filled)
            }
            guard count > 0 else { exit(0) }
            filled = forward(&octets, filled + count)
        }
    }

    /// Writes every complete frame to the interface and moves the rest to the front.
    ///
    /// Returns the length of the rest.
    private func forward(_ octets: inout [UInt8], _ filled: Int) -> Int {
        var start = 0
        let prefix = transport.prefixLength
        while filled - start >= max(prefix, 1) {
            let length = prefix == 0 ? filled : frameLength(octets[start..<start + prefix])
            guard filled - start >= prefix + length else { break }
            octets.withUnsafeBytes { whole in
                // The interface drops frames that it cannot take, as a wire does.
                _ = write(tap, whole.baseAddress.map { $0 + start + prefix }, length)
            }
            start += prefix + length
        }
        octets.withUnsafeMutableBytes { whole in
            whole.copyMemory(from: UnsafeRawBufferPointer(rebasing: whole[start..<filled]))
        }
        return filled - start
    }

    private func frameLength(_ prefix: ArraySlice<UInt8>) -> Int {
        let octets = transport == .short ? Array(prefix.reversed()) : Array(prefix)
        return octets.reduce(0) { $0 << 8 | Int($1) }
    }
}
