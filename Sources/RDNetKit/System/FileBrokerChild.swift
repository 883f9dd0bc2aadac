internal import CLinux
internal import Glibc

/// The child of `FileBroker`: it opens what it was started for, and nothing else.
extension FileBroker {
    /// The child's whole work; it ends with its parent.
    static func serve(_ grants: Grants, over number: Int32) -> Int32 {
        WorkingChild.begin("rdnet-files", keeping: [number])
        let socket = OwnedDescriptor(adopting: number)
        do {
            try socket.setBlocking()
            // Sockets get the mode that they are created with: no path's mode can be changed.
            _ = umask(0)
            Privileges.join(grants.groups)
            try Privileges.reduce(to: grants.capabilities)
            try Privileges.refuseNew()
            try Privileges.hideMemory()
            try SandboxCalls.broker(givingTo: grants.groups).enforceIfSupported()
        } catch {
            return 1
        }
        var octets = [UInt8](repeating: 0, count: maximumRequest)
        while true {
            let count = recv(number, &octets, octets.count, 0)
            guard count > 2, let request = Request(rawValue: octets[1] & ~replacing) else {
                return 0
            }
            let replacesStale = octets[1] & replacing != 0
            let path = String(decoding: octets[2..<count], as: UTF8.self)
            do {
                let granted = grants.allow(request, path) ? path : nil
                try answer(octets[0], over: socket) { () throws(SystemError) in
                    guard let granted else { throw SystemError(call: "broker", errno: EPERM) }
                    return try fulfill(request, granted, grants, replacesStale)
                }
            } catch {
                return 1
            }
        }
    }

    private static func answer(
        _ number: UInt8,
        over socket: borrowing OwnedDescriptor,
        _ open: () throws(SystemError) -> OwnedDescriptor
    ) throws(SystemError) {
        let descriptor: OwnedDescriptor
        do throws(SystemError) {
            descriptor = try open()
        } catch {
            _ = try Socket.send(socket, [number, UInt8(truncatingIfNeeded: error.errno)])
            return
        }
        try DescriptorPassing.send(descriptor.number, with: [number, 0], over: socket)
    }

    private static func fulfill(
        _ request: Request,
        _ path: String,
        _ grants: Grants,
        _ replacesStale: Bool
    ) throws(SystemError) -> OwnedDescriptor {
        switch request {
        case .open:
            let number = try systemCall("open \(path)") {
                Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
            }
            return OwnedDescriptor(adopting: number)
        case .connect:
            guard let address = SocketAddress(path: path) else {
                throw SystemError.tooLong("connect \(path)")
            }
            let stream = try Socket.makeUnix()
            _ = try Socket.connect(stream, to: address)
            return stream
        case .listenForStreams, .listenForPackets, .bindForDatagrams:
            return try ListeningSocket.unix(
                path: path,
                request.kind,
                access: grants.access[path] ?? SocketAccess(),
                replacesStale: replacesStale
            )
        }
    }
}
