internal import CLinux
internal import Glibc

/// The socket at which the stubs of `port-proxy` meet their shared process.
///
/// It has an abstract name, so it exists once for each network namespace and needs no file; the
/// name also contains the user. Others can use the name as well, so both ends check the other's
/// user. See unix(7).
enum PortProxyMeeting {
    /// The shared process's listening socket, where a stub starts it.
    private static let inheritedNumber: Int32 = 3

    private static var name: String { "rdnet-port-proxy-1-\(ProcessEnvironment.user)" }

    /// Starts to listen; nil if somebody does already.
    ///
    /// - Throws: `SystemError`.
    static func listen() throws(SystemError) -> OwnedDescriptor? {
        guard let address = SocketAddress(abstractName: name) else { return nil }
        let socket = try Socket.make(AF_UNIX, .packet)
        do throws(SystemError) {
            try Socket.bind(socket, to: address, named: "@\(name)")
        } catch {
            if error.isAddressInUse { return nil }
            throw error
        }
        try Socket.listen(socket)
        return socket
    }

    /// Connects to the shared process; nil if none listens, or if it has no room yet.
    ///
    /// - Throws: `SystemError`: EACCES if the listening process is another user's.
    static func connect() throws(SystemError) -> OwnedDescriptor? {
        guard let address = SocketAddress(abstractName: name) else { return nil }
        let socket = try Socket.make(AF_UNIX, .packet)
        do throws(SystemError) {
            _ = try Socket.connect(socket, to: address)
        } catch {
            if error.errno == ECONNREFUSED || error.errno == EAGAIN { return nil }
            throw error
        }
        guard PeerProcess.user(of: socket) == ProcessEnvironment.user else {
            throw SystemError(call: "connect @\(name)", errno: EACCES)
        }
        return socket
    }

    /// The listening socket that the stub passed on; nil if this process was not started by one.
    static func inheritedListener() throws(SystemError) -> OwnedDescriptor? {
        do throws(SystemError) {
            let socket = try OwnedDescriptor.inheritedSocket(inheritedNumber)
            let kind = try Socket.option(socket, SOL_SOCKET, SO_TYPE)
            let listens = try Socket.option(socket, SOL_SOCKET, SO_ACCEPTCONN)
            guard kind == Int32(SOCK_SEQPACKET.rawValue), listens == 1 else { return nil }
            return socket
        } catch {
            if error.errno == EBADF || error.errno == ENOTSOCK { return nil }
            throw error
        }
    }
}
