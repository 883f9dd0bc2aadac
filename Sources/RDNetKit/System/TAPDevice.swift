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
    /// There is no interface of that name.
    case missing(String)
    /// Another program has the interface.
    case busy(String)
    /// A call failed.
    case refused(SystemError)

    /// The sentence for a person.
    var description: String {
        switch self {
        case .badName(let name): "TAP name \"\(name)\": expected 1 to 15 bytes"
        case .noDevice:
            "/dev/net/tun: No such file or directory (is the tun module loaded? try modprobe tun)"
        case .taken(let name): "\(name): an interface of that name exists already"
        case .missing(let name): "\(name): there is no interface of that name"
        case .busy(let name): "\(name): another program uses the interface"
        case .refused(let error):
            error.errno == EPERM ? "\(error) (needs CAP_NET_ADMIN)" : "\(error)"
        }
    }
}

/// A TAP: a kernel network interface whose frames this process reads and writes.
///
/// An interface that was made here lives as long as the descriptor: it is never made persistent.
/// One that others have made persistent stays so. Every frame is preceded by a `virtio_net_hdr`, so
/// that TCP segments of up to 64 KiB pass in one call. See linux/if_tun.h.
struct TAPDevice: ~Copyable {
    let descriptor: OwnedDescriptor
    /// Whether the kernel takes and gives unsegmented UDP (USO, since Linux 6.2).
    let hasUSO: Bool

    /// Whose an interface is.
    enum Ownership {
        /// One's own: it must not exist yet.
        case exclusive
        /// One that somebody has made is used, or else one's own is made.
        case either
        /// One that somebody has made; it stays when it is let go of.
        case borrowed
    }

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
    /// - Parameters:
    ///   - name: The interface's name.
    ///   - ownership: Whether it may or must exist.
    /// - Throws: `TAPError`.
    init(named name: String, _ ownership: Ownership = .exclusive) throws(TAPError) {
        let octets = Array(name.utf8)
        guard (1..<Int(IFNAMSIZ)).contains(octets.count) else { throw .badName(name) }
        if ownership == .borrowed, !Self.exists(name) { throw .missing(name) }
        do {
            try self.init(opening: octets, isExclusive: ownership == .exclusive)
        } catch {
            switch error.errno {
            case ENOENT: throw .noDevice
            case EBUSY where ownership != .exclusive: throw .busy(name)
            // EINVAL: an interface of another kind has the name.
            case EBUSY, EEXIST: throw .taken(name)
            case EINVAL where Self.exists(name): throw .taken(name)
            default: throw .refused(error)
            }
        }
    }

    /// Whether there is an interface of a name, of whatever kind.
    ///
    /// See if_nametoindex(3).
    static func exists(_ name: String) -> Bool {
        if_nametoindex(name) != 0
    }

    private init(opening name: [UInt8], isExclusive: Bool) throws(SystemError) {
        let descriptor = OwnedDescriptor(
            adopting: try systemCall("/dev/net/tun") {
                open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC)
            }
        )
        try Self.attach(descriptor.number, name, isExclusive: isExclusive)
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

    private static func attach(
        _ number: Int32,
        _ name: [UInt8],
        isExclusive: Bool
    ) throws(SystemError) {
        var request = ifreq()
        // Sound: the name was checked against IFNAMSIZ, and the flags lie right behind it.
        withUnsafeMutableBytes(of: &request) { octets in
            octets.copyBytes(from: name)
            let exclusion = isExclusive ? IFF_TUN_EXCL : 0
            let flags = UInt16(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | exclusion)
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

    /// Has the kernel finish all frames again, for whoever uses a borrowed interface next.
    func refuseOffloads() {
        // A failure would mean that the interface is gone, and nobody uses it next.
        _ = ioctl(descriptor.number, UInt(CLINUX_TUNSETOFFLOAD), 0 as Int32)
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
        // Sound: a tuple of two equal structs is laid out as an array of two, and writev only
        // reads.
        return try attempt("write TAP") {
            withUnsafeBytes(of: &parts) { parts in
                writev(number, parts.assumingMemoryBound(to: iovec.self).baseAddress, 2)
            }
        }
    }
}
