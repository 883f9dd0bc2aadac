internal import CLinux
internal import Glibc

/// Two connected sockets, each the other's peer.
struct SocketPair: ~Copyable {
    let one: OwnedDescriptor
    let other: OwnedDescriptor
}

/// A connection that a listening socket accepted, and its peer's address.
struct AcceptedConnection: ~Copyable {
    let descriptor: OwnedDescriptor
    let peer: SocketAddress
}

/// A socket that sends echo requests and receives the replies.
struct EchoSocket: ~Copyable {
    let descriptor: OwnedDescriptor
    /// Whether the sender chooses the identifier.
    let isRaw: Bool
    let isIPv4: Bool

    /// Whether replies include their IP header; see raw(7) and ipv6(7).
    var includesHeader: Bool { isRaw && isIPv4 }
}

/// Socket types, for code that does not import the C library.
enum SocketKind {
    case stream
    case datagram
    /// Packets on a connected unix socket; it preserves message boundaries.
    case packet
    case raw
}

/// System calls on sockets.
///
/// Every socket that these functions create is close-on-exec and non-blocking.
enum Socket {
    private static let birthFlags =
        Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue)

    /// Creates a socket.
    ///
    /// See socket(2).
    static func make(
        _ family: Int32,
        _ kind: __socket_type,
        _ transport: Int32 = 0
    ) throws(SystemError) -> OwnedDescriptor {
        OwnedDescriptor(
            adopting: try systemCall("socket") {
                socket(family, Int32(kind.rawValue) | birthFlags, transport)
            }
        )
    }

    /// Creates a socket of one of the types in `SocketKind`.
    static func make(
        _ family: Int32,
        _ kind: SocketKind,
        _ transport: Int32 = 0
    ) throws(SystemError) -> OwnedDescriptor {
        switch kind {
        case .stream: try make(family, SOCK_STREAM, transport)
        case .datagram: try make(family, SOCK_DGRAM, transport)
        case .packet: try make(family, SOCK_SEQPACKET, transport)
        case .raw: try make(family, SOCK_RAW, transport)
        }
    }

    /// Creates a socket for echo requests: a ping socket, or a raw socket where ping sockets are
    /// forbidden.
    ///
    /// See icmp(7), `ping_group_range`, and raw(7).
    static func makeEcho(isIPv4: Bool = true) throws(SystemError) -> EchoSocket {
        let family = isIPv4 ? AF_INET : AF_INET6
        let transport = Int32(isIPv4 ? IPPROTO_ICMP : IPPROTO_ICMPV6)
        do {
            let ping = try make(family, SOCK_DGRAM, transport)
            return EchoSocket(descriptor: ping, isRaw: false, isIPv4: isIPv4)
        } catch {
            let raw = try make(family, SOCK_RAW, transport)
            return EchoSocket(descriptor: raw, isRaw: true, isIPv4: isIPv4)
        }
    }

    /// Whether this machine's kernel has IPv6; it does not if it was booted with ipv6.disable=1.
    static var hasIPv6: Bool {
        do {
            _ = try make(AF_INET6, SOCK_DGRAM)
            return true
        } catch {
            return error.errno != EAFNOSUPPORT
        }
    }

    /// Whether `makeEcho` needs CAP_NET_RAW.
    static var needsRawEcho: Bool {
        do {
            return try makeEcho().isRaw
        } catch {
            // It has no such capability to keep.
            return false
        }
    }

    /// Gives a ping socket its identifier, which the kernel would otherwise choose.
    ///
    /// - Parameters:
    ///   - echo: A ping socket.
    ///   - identifier: Not zero.
    /// - Throws: `SystemError`, EADDRINUSE if another ping socket has the identifier.
    static func bind(
        _ echo: borrowing EchoSocket,
        toIdentifier identifier: UInt16
    ) throws(SystemError) {
        let any: IPAddress = echo.isIPv4 ? .anyIPv4 : .anyIPv6
        let address = SocketAddress(Endpoint(address: any, port: identifier))
        try bind(echo.descriptor, to: address, named: "echo identifier \(identifier)")
    }

    /// The socket family for an address: AF_INET or AF_INET6.
    static func family(of address: IPAddress) -> Int32 {
        address.isIPv4 ? AF_INET : AF_INET6
    }

    /// Creates a unix stream socket.
    ///
    /// See unix(7).
    static func makeUnix() throws(SystemError) -> OwnedDescriptor {
        try make(AF_UNIX, SOCK_STREAM)
    }

    /// Creates a stream socket between a virtual machine and its host.
    ///
    /// See vsock(7).
    static func makeVsock() throws(SystemError) -> OwnedDescriptor {
        try make(AF_VSOCK, SOCK_STREAM)
    }

    /// Listens for virtual machines; a nil context accepts connections to any context of this
    /// machine.
    static func listenVsock(
        cid: UInt32?,
        port: UInt32,
        named name: String
    ) throws(SystemError) -> OwnedDescriptor {
        let socket = try makeVsock()
        try bind(socket, to: SocketAddress(vsockCID: cid ?? UInt32.max, port: port), named: name)
        try listen(socket)
        return socket
    }

    /// Creates two connected unix sockets, for streams or for packets.
    ///
    /// See socketpair(2).
    static func pair(ofPackets: Bool = false) throws(SystemError) -> SocketPair {
        var numbers: [Int32] = [-1, -1]
        let kind = ofPackets ? SOCK_SEQPACKET : SOCK_STREAM
        try systemCall("socketpair") {
            socketpair(AF_UNIX, Int32(kind.rawValue) | birthFlags, 0, &numbers)
        }
        return SocketPair(
            one: OwnedDescriptor(adopting: numbers[0]),
            other: OwnedDescriptor(adopting: numbers[1])
        )
    }

    /// Binds a socket to a local address.
    ///
    /// See bind(2).
    static func bind(
        _ descriptor: borrowing OwnedDescriptor,
        to address: SocketAddress,
        named name: @autoclosure () -> String
    ) throws(SystemError) {
        let number = descriptor.number
        try systemCall("bind \(name())") {
            address.withPointer { Glibc.bind(number, $0, $1) }
        }
    }

    /// Makes a bound socket accept connections; the backlog is the kernel's default maximum.
    ///
    /// See listen(2).
    static func listen(_ descriptor: borrowing OwnedDescriptor) throws(SystemError) {
        let number = descriptor.number
        try systemCall("listen") { Glibc.listen(number, 4096) }
    }

    /// Starts to connect.
    ///
    /// See connect(2).
    ///
    /// - Returns: Whether the socket is already connected. If not, it becomes writable when the
    ///   attempt ends, and `takeError` returns the result.
    static func connect(
        _ descriptor: borrowing OwnedDescriptor,
        to address: SocketAddress
    ) throws(SystemError) -> Bool {
        let number = descriptor.number
        do {
            try systemCall("connect") {
                address.withPointer { Glibc.connect(number, $0, $1) }
            }
            return true
        } catch {
            if error.errno == EINPROGRESS { return false }
            throw error
        }
    }

    /// Accepts one waiting connection; nil when none is waiting.
    ///
    /// See accept4(2).
    static func accept(
        _ descriptor: borrowing OwnedDescriptor
    ) throws(SystemError) -> AcceptedConnection? {
        let number = descriptor.number
        var address = SocketAddress()
        let accepted = try attempt("accept4") {
            address.withMutablePointer { accept4(number, $0, $1, birthFlags) }
        }
        guard let accepted else { return nil }
        return AcceptedConnection(descriptor: OwnedDescriptor(adopting: accepted), peer: address)
    }

    /// The local address of a socket.
    ///
    /// See getsockname(2).
    static func localAddress(
        _ descriptor: borrowing OwnedDescriptor
    ) throws(SystemError) -> SocketAddress {
        let number = descriptor.number
        var address = SocketAddress()
        try systemCall("getsockname") {
            address.withMutablePointer { getsockname(number, $0, $1) }
        }
        return address
    }

    /// Closes one or both directions; a connection that has already ended is not an error.
    ///
    /// See shutdown(2).
    static func shutDown(_ descriptor: borrowing OwnedDescriptor, _ how: Int32) {
        _ = shutdown(descriptor.number, how)
    }

    /// Closes both directions; the kernel still sends queued data.
    ///
    /// See shutdown(2).
    static func shutDownBoth(_ descriptor: borrowing OwnedDescriptor) {
        shutDown(descriptor, Int32(SHUT_RDWR))
    }

    /// Closes the sending direction; the peer reads the end of the stream.
    ///
    /// See shutdown(2).
    static func shutDownSending(_ descriptor: borrowing OwnedDescriptor) {
        shutDown(descriptor, Int32(SHUT_WR))
    }

    /// Reads from a stream; nil when no data is waiting, 0 at the end of the stream.
    ///
    /// See recv(2).
    static func receive(
        _ descriptor: borrowing OwnedDescriptor,
        into buffer: UnsafeMutableRawBufferPointer,
        flags: Int32 = 0
    ) throws(SystemError) -> Int? {
        let number = descriptor.number
        return try attempt("recv") { recv(number, buffer.baseAddress, buffer.count, flags) }
    }

    /// Writes to a stream without SIGPIPE; nil when it would block.
    ///
    /// See send(2).
    static func send(
        _ descriptor: borrowing OwnedDescriptor,
        _ buffer: UnsafeRawBufferPointer
    ) throws(SystemError) -> Int? {
        let number = descriptor.number
        return try attempt("send") {
            Glibc.send(number, buffer.baseAddress, buffer.count, Int32(MSG_NOSIGNAL))
        }
    }

    /// Receives one datagram and its sender; nil when none is waiting.
    ///
    /// See recvfrom(2).
    static func receiveDatagram(
        _ descriptor: borrowing OwnedDescriptor,
        into buffer: UnsafeMutableRawBufferPointer
    ) throws(SystemError) -> (count: Int, sender: SocketAddress)? {
        let number = descriptor.number
        var sender = SocketAddress()
        let count = try attempt("recvfrom") {
            sender.withMutablePointer {
                recvfrom(number, buffer.baseAddress, buffer.count, 0, $0, $1)
            }
        }
        return count.map { ($0, sender) }
    }

    /// Sends one datagram; nil when the queue is full.
    ///
    /// See sendto(2).
    static func sendDatagram(
        _ descriptor: borrowing OwnedDescriptor,
        _ buffer: UnsafeRawBufferPointer,
        to address: SocketAddress
    ) throws(SystemError) -> Int? {
        let number = descriptor.number
        return try attempt("sendto") {
            address.withPointer {
                sendto(number, buffer.baseAddress, buffer.count, Int32(MSG_NOSIGNAL), $0, $1)
            }
        }
    }
}
