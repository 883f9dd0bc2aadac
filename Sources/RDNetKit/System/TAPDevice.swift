internal import CLinux
internal import Glibc

/// The reason why a TAP could not be opened.
enum TAPError: Error, Equatable, CustomStringConvertible {
    /// The name is empty, or longer than the kernel's 15 bytes (IFNAMSIZ minus the NUL).
    case badName(String)
    /// The device node is missing: the tun module is not loaded (common in WSL distros).
    case noDevice
    /// The name belongs to an existing interface: of another type, or a TAP although a new one is
    /// required.
    case taken(String)
    /// No interface has that name.
    case missing(String)
    /// Another program uses the interface.
    case busy(String)
    /// A system call failed.
    case refused(SystemError)

    /// The message for users.
    var description: String {
        switch self {
        case .badName(let name): "TAP name \"\(name)\": expected 1 to 15 bytes"
        case .noDevice:
            "\(TAPDevice.path): No such file or directory (is the tun module loaded? try modprobe tun)"
        case .taken(let name): "\(name): an interface of that name exists already"
        case .missing(let name): "\(name): there is no interface of that name"
        case .busy(let name): "\(name): another program uses the interface"
        case .refused(let error): "\(error)\(Self.hint(error))"
        }
    }

    /// What to do about an error that the kernel's message does not explain.
    private static func hint(_ error: SystemError) -> String {
        let isDenied = error.errno == EPERM || error.errno == EACCES
        if error.call == TAPDevice.path, isDenied {
            return " (chmod 666 \(TAPDevice.path) as root; "
                + "for a container, start it with --device \(TAPDevice.path))"
        }
        return error.errno == EPERM ? " (needs CAP_NET_ADMIN)" : ""
    }
}

/// A TAP: a kernel network interface whose frames this process reads and writes.
///
/// A new interface exists as long as its descriptor: it is never made persistent. An existing
/// persistent interface stays persistent. A `virtio_net_hdr` precedes every frame, so TCP segments
/// of up to 64 KiB pass in one call. See linux/if_tun.h.
struct TAPDevice: ~Copyable {
    static let path = "/dev/net/tun"

    let descriptor: OwnedDescriptor
    /// Whether the kernel sends and accepts unsegmented UDP (USO, since Linux 6.2).
    let hasUSO: Bool

    /// Whether an interface must be new or may exist already.
    enum Ownership {
        /// A new interface, which must not exist yet.
        case exclusive
        /// An existing interface, or else a new one.
        case either
        /// An existing interface, which stays after the TAP is closed.
        case borrowed
    }

    /// Checks that the device for creating TAPs exists.
    ///
    /// See access(2).
    ///
    /// - Throws: `TAPError.noDevice` when it does not.
    static func check() throws(TAPError) {
        if access(path, F_OK) != 0 { throw .noDevice }
    }

    /// Opens a TAP in the network namespace of the calling thread.
    ///
    /// - Parameters:
    ///   - name: The interface's name.
    ///   - ownership: Whether the interface may or must exist already.
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
            case EBUSY, EEXIST: throw .taken(name)
            // An interface of another type has the name.
            case EINVAL where Self.exists(name): throw .taken(name)
            default: throw .refused(error)
            }
        }
    }

    /// Whether an interface with a name exists, of any type.
    ///
    /// It uses netlink, because if_nametoindex(3) creates a unix socket, which the sandbox refuses.
    static func exists(_ name: String) -> Bool {
        do {
            var netlink = try Netlink()
            _ = try netlink.link(named: name)
            return true
        } catch {
            return false
        }
    }

    private init(opening name: [UInt8], isExclusive: Bool) throws(SystemError) {
        let descriptor = OwnedDescriptor(
            adopting: try systemCall(Self.path) {
                open(Self.path, O_RDWR | O_NONBLOCK | O_CLOEXEC)
            }
        )
        try Self.attach(descriptor.number, name, isExclusive: isExclusive)
        try self.init(adopting: descriptor)
    }

    /// Creates a TAP from an attached descriptor, possibly from another process.
    ///
    /// - Parameter descriptor: A TAP's descriptor, opened with a `virtio_net_hdr`.
    /// - Throws: `SystemError` when the descriptor is not a TAP's.
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
        // Sound: the name was checked against IFNAMSIZ, and the flags follow directly after it.
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
        // Kernels before 6.2 do not support unsegmented UDP (USO) and refuse the whole set.
        if ioctl(number, UInt(CLINUX_TUNSETOFFLOAD), withUSO) == 0 { return true }
        try systemCall("ioctl(TUNSETOFFLOAD)") { ioctl(number, UInt(CLINUX_TUNSETOFFLOAD), base) }
        return false
    }

    /// Makes the kernel complete checksums and segmentation of all frames again, for the next user
    /// of a borrowed interface.
    func refuseOffloads() {
        // A failure means that the interface was removed, so it has no next user.
        _ = ioctl(descriptor.number, UInt(CLINUX_TUNSETOFFLOAD), 0 as Int32)
    }

    /// Reads one frame and its header; nil when none is waiting.
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
        // Sound: a tuple of two equal structs has the layout of an array of two.
        return try attempt("read TAP") {
            withUnsafeBytes(of: &parts) { parts in
                readv(number, parts.assumingMemoryBound(to: iovec.self).baseAddress, 2)
            }
        }
    }

    /// Writes one frame preceded by its header; nil when the kernel accepts none now.
    ///
    /// See write(2).
    @inline(__always)
    static func write(
        _ number: Int32,
        _ octets: UnsafeRawBufferPointer
    ) throws(SystemError) -> Int? {
        try attempt("write TAP") { Glibc.write(number, octets.baseAddress, octets.count) }
    }

    /// Writes one frame whose header is stored separately; nil when the kernel accepts none now.
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
        // Sound: a tuple of two equal structs has the layout of an array of two, and writev only
        // reads.
        return try attempt("write TAP") {
            withUnsafeBytes(of: &parts) { parts in
                writev(number, parts.assumingMemoryBound(to: iovec.self).baseAddress, 2)
            }
        }
    }
}
