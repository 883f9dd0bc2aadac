internal import CLinux
internal import Glibc

/// What this machine's kernel can do with sockets between virtual machines and host.
struct VirtualSockets: Equatable {
    /// It is the host of virtual machines (module vhost_vsock, or VMware's): contexts from 3 on are
    /// its machines.
    var isHost: Bool
    /// A context of its own leads back to it (module vsock_loopback).
    var hasLoopback: Bool

    /// It can do nothing.
    static let none = VirtualSockets(isHost: false, hasLoopback: false)
    /// The context that leads back (VMADDR_CID_LOCAL).
    static let loopback: UInt32 = 1

    /// Asks the kernel, and sends nothing.
    ///
    /// A socket can be bound to a context only while the kernel has a transport of that kind; a
    /// call to a context without one would be sent to this machine's own host. See vsock(7).
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
    /// The context of the virtual machine at the other end of a vsock connection; nil for other
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
            // It has ended already: reading will say so.
            return nil
        }
        return address.vsockCID
    }
}
