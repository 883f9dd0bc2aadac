internal import CLinux
internal import Glibc

/// The kernel's support for sockets between virtual machines and their host.
struct VirtualSockets: Equatable {
    /// Whether this machine hosts virtual machines (module vhost_vsock, or VMware's); contexts from
    /// 3 up are its virtual machines.
    var isHost: Bool
    /// Whether a dedicated context leads back to this machine (module vsock_loopback).
    var hasLoopback: Bool

    /// Neither kind of support.
    static let none = VirtualSockets(isHost: false, hasLoopback: false)
    /// The context that leads back to this machine (VMADDR_CID_LOCAL).
    static let loopback: UInt32 = 1

    /// Queries the kernel without sending anything.
    ///
    /// A socket can bind to a context only while the kernel has a transport of that kind. Without
    /// one, a connection to the context would go to the host of this machine. See vsock(7).
    static func probe() -> VirtualSockets {
        VirtualSockets(
            isHost: canBind(to: UInt32(VMADDR_CID_HOST)),
            hasLoopback: canBind(to: loopback)
        )
    }

    private static func canBind(to context: UInt32) -> Bool {
        do {
            let socket = try Socket.makeVsock()
            let address = SocketAddress(vsockCID: context, port: UInt32.max)
            try Socket.bind(socket, to: address, named: "vsock")
            return true
        } catch {
            return false
        }
    }
}

extension Socket {
    /// The context ID of the virtual machine at the other end of a vsock connection; nil for other
    /// families.
    ///
    /// See getpeername(2).
    static func peerContext(_ descriptor: borrowing OwnedDescriptor) -> UInt32? {
        let number = descriptor.number
        var address = SocketAddress()
        do {
            try systemCall("getpeername") {
                address.withMutablePointer { getpeername(number, $0, $1) }
            }
        } catch {
            // The connection has already ended; the next read reports that.
            return nil
        }
        return address.vsockCID
    }
}
