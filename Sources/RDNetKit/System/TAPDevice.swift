internal import CLinux
internal import Glibc

/// Why there is no TAP.
enum TAPError: Error, Equatable, CustomStringConvertible {
    /// Longer than the 15 octets the kernel keeps (IFNAMSIZ less its NUL), or empty.
    case badName(String)
    /// The device node is missing: the tun module is not loaded (WSL distros hit this).
    case noDevice
    /// An interface of that name is there already: a TAP of one's own is never somebody else's.
    case taken(String)
    /// A call failed.
    case refused(SystemError)

    /// The sentence for a person.
    var description: String {
        switch self {
        case .badName(let name): "TAP name \"\(name)\": expected 1 to 15 octets"
        case .noDevice:
            "/dev/net/tun: No such file or directory (is the tun module loaded? try modprobe tun)"
        case .taken(let name): "\(name): an interface of that name exists already"
        case .refused(let error):
            error.errno == EPERM ? "\(error) (needs CAP_NET_ADMIN)" : "\(error)"
        }
    }
}

/// A TAP: a kernel network interface whose frames this process reads and writes.
///
/// The interface lives as long as the descriptor: it is never made persistent. Every frame is preceded by a
/// `virtio_net_hdr`, so that TCP segments of up to 64 KiB pass in one call. See linux/if_tun.h.
struct TAPDevice: ~Copyable {
    let descriptor: OwnedDescriptor
    /// Whether the kernel takes and gives unsegmented UDP (USO, since Linux 6.2).
    let hasUSO: Bool

    /// Whether there is a device to make TAPs with.
    ///
    /// See access(2).
    ///
    /// - Throws: `TAPError.noDevice` when there is none.
    static func check() throws(TAPError) {
        if access("/dev/net/tun", F_OK) != 0 { throw .noDevice }
    }

    /// Opens a TAP in the namespace of the calling thread.
    ///
    /// - Parameter name: The interface's name; it must not exist yet.
    /// - Throws: `TAPError`.
    init(named name: String) throws(TAPError) {
        let octets = Array(name.utf8)
        guard (1..<Int(IFNAMSIZ)).contains(octets.count) else { throw .badName(name) }
        do {
            try self.init(opening: octets)
        } catch {
            switch error.errno {
            case ENOENT: throw .noDevice
            // EINVAL: an interface of another kind has the name.
            case EBUSY, EEXIST: throw .taken(name)
            case EINVAL where if_nametoindex(name) != 0: throw .taken(name)
            default: throw .refused(error)
            }
        }
    }

    private init(opening name: [UInt8]) throws(SystemError) {
        let descriptor = OwnedDescriptor(
            adopting: try systemCall("/dev/net/tun") {
                open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC)
            }
        )
        try Self.attach(descriptor.number, name)
        try self.init(adopting: descriptor)
    }

    /// Takes over a TAP's descriptor that is attached already, by another process perhaps.
    ///
    /// - Parameter descriptor: Opened with a `virtio_net_hdr`.
    /// - Throws: `SystemError` when it is no TAP.
    init(adopting descriptor: consuming OwnedDescriptor) throws(SystemError) {
        hasUSO = try Self.setOffload(descriptor.number)
        self.descriptor = descriptor
    }

    private static func attach(_ number: Int32, _ name: [UInt8]) throws(SystemError) {
        var request = ifreq()
        // Sound: the name was checked against IFNAMSIZ, and the flags lie right behind it.
        withUnsafeMutableBytes(of: &request) { octets in
            octets.copyBytes(from: name)
            let flags = UInt16(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_TUN_EXCL)
            octets.storeBytes(of: flags, toByteOffset: Int(IFNAMSIZ), as: UInt16.self)
        }
        let label = String(decoding: name, as: UTF8.self)
        try systemCall("\(label): ioctl(TUNSETIFF)") {
            ioctl(number, UInt(CLINUX_TUNSETIFF), &request)
        }
        var headerLength = Int32(VirtioNetHeader.length)
        try systemCall("\(label): ioctl(TUNSETVNETHDRSZ)") {
            ioctl(number, UInt(CLINUX_TUNSETVNETHDRSZ), &headerLength)
        }
    }

    private static func setOffload(_ number: Int32) throws(SystemError) -> Bool {
        let base = Int32(TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6)
        let withUSO = base | Int32(CLINUX_TUN_F_USO4 | CLINUX_TUN_F_USO6)
        // Kernels before 6.2 know no unsegmented UDP (USO) and refuse the whole set.
        if ioctl(number, UInt(CLINUX_TUNSETOFFLOAD), withUSO) == 0 { return true }
        try systemCall("ioctl(TUNSETOFFLOAD)") { ioctl(number, UInt(CLINUX_TUNSETOFFLOAD), base) }
        return false
    }

    /// Reads one frame and its header; nil when none waits.
    ///
    /// See readv(2).
    @inline(__always)
    static func read(
        _ number: Int32,
        header: UnsafeMutableRawBufferPointer,
        frame: UnsafeMutableRawBufferPointer
    ) throws(SystemError) -> Int? {
        var parts = (
            iovec(iov_base: header.baseAddress, iov_len: header.count),
            iovec(iov_base: frame.baseAddress, iov_len: frame.count)
        )
        // Sound: a tuple of two equal structs is laid out as an array of two.
        return try attempt("read TAP") {
            withUnsafeBytes(of: &parts) { parts in
                readv(number, parts.assumingMemoryBound(to: iovec.self).baseAddress, 2)
            }
        }
    }

    /// Writes one frame with its header in front; nil when the kernel takes none now.
    ///
    /// See write(2).
    @inline(__always)
    static func write(
        _ number: Int32,
        _ octets: UnsafeRawBufferPointer
    ) throws(SystemError) -> Int? {
        try attempt("write TAP") { Glibc.write(number, octets.baseAddress, octets.count) }
    }

    /// Writes one frame that does not lie behind its header; nil when the kernel takes none now.
    ///
    /// See writev(2).
    @inline(__always)
    static func write(
        _ number: Int32,
        header: UnsafeRawBufferPointer,
        frame: UnsafeRawBufferPointer
    ) throws(SystemError) -> Int? {
        var parts = (
            iovec(
                iov_base: UnsafeMutableRawPointer(mutating: header.baseAddress),
                iov_len: header.count
            ),
            iovec(
                iov_base: UnsafeMutableRawPointer(mutating: frame.baseAddress),
                iov_len: frame.count
            )
        )
        // Sound: a tuple of two equal structs is laid out as an array of two, and writev only reads.
        return try attempt("write TAP") {
            withUnsafeBytes(of: &parts) { parts in
                writev(number, parts.assumingMemoryBound(to: iovec.self).baseAddress, 2)
            }
        }
    }
}
