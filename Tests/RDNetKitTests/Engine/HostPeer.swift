import CLinux
import Glibc

@testable import RDNetKit

/// The far end of a flow: a nonblocking stream socket on the host.
final class HostPeer {
    private var descriptor: OwnedDescriptor?
    /// Everything read so far.
    private(set) var received: [UInt8] = []
    /// Whether the stream's end was read.
    private(set) var hasEnded = false
    /// The errno of a failed read.
    private(set) var failure: Int32?

    init(_ descriptor: consuming OwnedDescriptor) {
        self.descriptor = .some(consume descriptor)
    }

    /// Writes as much as the socket takes; returns the number of bytes.
    @discardableResult
    func write(_ octets: some Sequence<UInt8>) throws -> Int {
        let octets = Array(octets)
        switch descriptor {
        case .some(let descriptor):
            return try octets.withUnsafeBytes { try Socket.send(descriptor, $0) ?? 0 }
        case .none: return 0
        }
    }

    /// Reads up to `limit` waiting bytes, or the stream's end or error.
    func read(atMost limit: Int = .max) {
        var buffer = [UInt8](repeating: 0, count: min(limit, 65_536))
        var remaining = limit
        while remaining > 0, let count = read(into: &buffer, remaining) {
            remaining -= count
        }
    }

    /// Whether the stream ends, after this process has closed the other end.
    func readsEnd() -> Bool {
        followsClose {
            read()
            return hasEnded
        }
    }

    /// Whether the connection is reset, after this process has closed the other end.
    func readsReset() -> Bool {
        followsClose {
            read()
            return failure == ECONNRESET
        }
    }

    private func read(into buffer: inout [UInt8], _ limit: Int) -> Int? {
        let wanted = min(limit, buffer.count)
        do {
            let count = try buffer.withUnsafeMutableBytes { room -> Int? in
                switch descriptor {
                case .some(let descriptor):
                    let part = UnsafeMutableRawBufferPointer(rebasing: room[..<wanted])
                    return try Socket.receive(descriptor, into: part)
                case .none: return nil
                }
            }
            guard let count else { return nil }
            if count == 0 {
                hasEnded = true
                return nil
            }
            received += buffer[..<count]
            return count
        } catch {
            failure = (error as? SystemError)?.errno
            return nil
        }
    }

    /// Everything received so far, as text.
    var text: String {
        read()
        return String(decoding: received, as: UTF8.self)
    }

    /// Shuts down this end's sending direction.
    func endSending() {
        switch descriptor {
        case .some(let descriptor): Socket.shutDownSending(descriptor)
        case .none: break
        }
    }

    /// Closes the socket; the kernel resets the connection if unread data is left.
    func close() {
        descriptor = nil
    }

    /// Closes the socket with a reset.
    func reset() {
        switch descriptor {
        case .some(let descriptor): Socket.resetOnClose(descriptor)
        case .none: break
        }
        descriptor = nil
    }

    /// A second descriptor for the same socket.
    func duplicate() throws -> OwnedDescriptor {
        switch descriptor {
        case .some(let descriptor): return try descriptor.duplicate()
        case .none: throw SystemError(call: "duplicate", errno: EBADF)
        }
    }

    /// Shrinks the kernel's buffers for this socket.
    func shrinkBuffers(to size: Int32) throws {
        switch descriptor {
        case .some(let descriptor):
            try Socket.set(descriptor, SOL_SOCKET, SO_RCVBUF, to: size)
            try Socket.set(descriptor, SOL_SOCKET, SO_SNDBUF, to: size)
        case .none: break
        }
    }
}

/// A listening socket, on a free port of 127.0.0.1 by default.
final class HostListener {
    private let descriptor: OwnedDescriptor
    let port: UInt16

    init(
        address: IPAddress = .loopbackIPv4,
        port: UInt16 = 0,
        receiveBuffer: Int32? = nil
    ) throws {
        descriptor = try ListeningSocket.tcp(Endpoint(address: address, port: port))
        // Accepted sockets inherit the buffer, which must be set before the window is negotiated.
        if let receiveBuffer {
            try Socket.set(descriptor, SOL_SOCKET, SO_RCVBUF, to: receiveBuffer)
        }
        self.port = try Socket.localAddress(descriptor).endpoint?.port ?? 0
    }

    /// Accepts the next waiting connection, if any.
    func accept() throws -> HostPeer? {
        guard let accepted = try Socket.accept(descriptor) else { return nil }
        return HostPeer(try accepted.descriptor.duplicate())
    }

    /// Returns a port of 127.0.0.1 that refuses connections.
    static func refusedPort() throws -> UInt16 {
        let socket = try Socket.make(AF_INET, .stream)
        let nowhere = SocketAddress(Endpoint(address: .loopbackIPv4, port: 0))
        try Socket.bind(socket, to: nowhere, named: "127.0.0.1:0")
        return try Socket.localAddress(socket).endpoint?.port ?? 0
    }
}
