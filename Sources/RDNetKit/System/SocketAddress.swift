internal import CLinux
internal import Glibc

/// A socket address of any family, in the kernel's format.
///
/// See socket(7).
struct SocketAddress {
    private var storage = sockaddr_storage()
    private(set) var length: socklen_t = 0

    /// Creates an empty address for the kernel to fill in.
    init() {}

    /// Creates an address from what the kernel wrote.
    init(_ storage: sockaddr_storage, length: socklen_t) {
        self.storage = storage
        self.length = length
    }

    /// Creates an address from a control message.
    init(copying octets: UnsafeRawBufferPointer) {
        length = socklen_t(min(octets.count, MemoryLayout<sockaddr_storage>.size))
        // Sound: the copy is at most as long as the storage, and the rest stays zero.
        withUnsafeMutableBytes(of: &storage) { $0.copyBytes(from: octets.prefix(Int(length))) }
    }

    /// Creates an IPv4 or IPv6 transport address.
    ///
    /// See ip(7), ipv6(7).
    init(_ endpoint: Endpoint) {
        if let ipv4 = endpoint.address.ipv4 {
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = endpoint.port.bigEndian
            address.sin_addr.s_addr = ipv4.bigEndian
            store(address)
        } else {
            var address = sockaddr_in6()
            address.sin6_family = sa_family_t(AF_INET6)
            address.sin6_port = endpoint.port.bigEndian
            address.sin6_scope_id = endpoint.scope
            // Sound: both sides are 16 bytes of plain memory.
            withUnsafeMutableBytes(of: &address.sin6_addr) { octets in
                octets.storeBytes(of: endpoint.address.high.bigEndian, as: UInt64.self)
                octets.storeBytes(
                    of: endpoint.address.low.bigEndian,
                    toByteOffset: 8,
                    as: UInt64.self
                )
            }
            store(address)
        }
    }

    /// Creates the address of a unix socket file; nil when the path is empty or exceeds the 107
    /// bytes of `sun_path`.
    ///
    /// See unix(7).
    init?(path: String) {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let octets = Array(path.utf8)
        let capacity = MemoryLayout.size(ofValue: address.sun_path)
        guard octets.count < capacity, !octets.isEmpty else { return nil }
        // Sound: the length was checked, and the rest stays zero.
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: octets) }
        store(address)
    }

    /// Creates the address of a unix socket without a file; nil when the name exceeds 107 bytes.
    ///
    /// See unix(7), abstract.
    init?(abstractName name: String) {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let octets = [0] + Array(name.utf8)
        guard octets.count <= MemoryLayout.size(ofValue: address.sun_path) else { return nil }
        // Sound: the length was checked.
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: octets) }
        store(address)
        // The length is part of the name.
        length = socklen_t(MemoryLayout<sa_family_t>.size + octets.count)
    }

    /// Creates the address of a virtual machine's port.
    ///
    /// See vsock(7).
    init(vsockCID: UInt32, port: UInt32) {
        var address = sockaddr_vm()
        address.svm_family = sa_family_t(AF_VSOCK)
        address.svm_cid = vsockCID
        address.svm_port = port
        store(address)
    }

    /// Creates the address of a neighbor on an interface, for IPv4 packets.
    ///
    /// See packet(7).
    init(link: UInt32, mac: MACAddress) {
        var address = sockaddr_ll()
        address.sll_family = sa_family_t(AF_PACKET)
        address.sll_protocol = UInt16(ETH_P_IP).bigEndian
        address.sll_ifindex = Int32(truncatingIfNeeded: link)
        address.sll_halen = 6
        // Sound: the field has eight bytes.
        withUnsafeMutableBytes(of: &address.sll_addr) { $0.copyBytes(from: mac.octets) }
        store(address)
    }

    private mutating func store<Address>(_ address: Address) {
        length = socklen_t(MemoryLayout<Address>.size)
        // Sound: sockaddr_storage is at least as large as every other socket address.
        withUnsafeMutableBytes(of: &storage) { octets in
            withUnsafeBytes(of: address) { octets.copyMemory(from: $0) }
        }
    }

    /// The address family, such as AF_INET or AF_UNIX.
    var family: Int32 { Int32(storage.ss_family) }

    /// The transport address; nil for other families.
    ///
    /// An IPv4-mapped IPv6 address becomes an IPv4 address. The kernel sets a scope only for
    /// link-local addresses.
    var endpoint: Endpoint? {
        // Sound: the family determines the layout of the storage.
        withUnsafeBytes(of: storage) { octets in
            switch family {
            case AF_INET:
                let address = octets.loadUnaligned(as: sockaddr_in.self)
                return Endpoint(
                    address: IPAddress(ipv4: UInt32(bigEndian: address.sin_addr.s_addr)),
                    port: UInt16(bigEndian: address.sin_port)
                )
            case AF_INET6:
                let port = octets.loadUnaligned(fromByteOffset: 2, as: UInt16.self)
                let high = octets.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
                let low = octets.loadUnaligned(fromByteOffset: 16, as: UInt64.self)
                return Endpoint(
                    address: IPAddress(high: UInt64(bigEndian: high), low: UInt64(bigEndian: low)),
                    port: UInt16(bigEndian: port),
                    scope: octets.loadUnaligned(fromByteOffset: 24, as: UInt32.self)
                )
            default:
                return nil
            }
        }
    }

    /// The path of a unix socket; nil for other families, and for a socket without a path.
    ///
    /// See unix(7).
    var path: String? {
        let start = MemoryLayout<sa_family_t>.size
        guard family == AF_UNIX, Int(length) > start else { return nil }
        // Sound: the kernel reports how much it wrote. A NUL may end the path earlier, and an
        // abstract name begins with one.
        let octets = withUnsafeBytes(of: storage) { $0[start..<Int(length)].prefix { $0 != 0 } }
        return octets.isEmpty ? nil : String(decoding: octets, as: UTF8.self)
    }

    /// The virtual machine's context ID; nil for other families.
    ///
    /// See vsock(7).
    var vsockCID: UInt32? {
        guard family == AF_VSOCK else { return nil }
        // Sound: the family determines the layout of the storage.
        return withUnsafeBytes(of: storage) { $0.loadUnaligned(as: sockaddr_vm.self).svm_cid }
    }

    /// The MAC address of a packet socket's neighbor; nil for other families and other address
    /// lengths.
    ///
    /// See packet(7).
    var mac: MACAddress? {
        guard family == AF_PACKET else { return nil }
        // Sound: the family determines the layout of the storage.
        return withUnsafeBytes(of: storage) { octets in
            var address = octets.loadUnaligned(as: sockaddr_ll.self)
            guard address.sll_halen == 6 else { return nil }
            return withUnsafeBytes(of: &address.sll_addr) { octets in
                MACAddress(rawValue: octets.prefix(6).reduce(0) { $0 << 8 | UInt64($1) })
            }
        }
    }

    /// Passes the address to a call that reads it.
    @inline(__always)
    func withPointer<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        // Sound: every socket address begins with the family, as sockaddr does.
        withUnsafePointer(to: storage) { storage in
            storage.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, length) }
        }
    }

    /// Passes the storage to a call that writes an address and its length.
    @inline(__always)
    mutating func withMutablePointer<Result>(
        _ body: (UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Result
    ) -> Result {
        length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        // Sound: as above, and the length is the size of the storage.
        return withUnsafeMutablePointer(to: &storage) { storage in
            storage.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, &length) }
        }
    }
}
