@testable import RDNetKit

/// A UDP socket on the host, on 127.0.0.1 by default.
final class HostDatagrams {
    private let descriptor: OwnedDescriptor
    let port: UInt16
    private(set) var received: [(payload: [UInt8], sender: Endpoint)] = []

    init(_ address: IPAddress = .loopbackIPv4, port: UInt16 = 0) throws {
        descriptor = try ListeningSocket.udp(Endpoint(address: address, port: port))
        self.port = try Socket.localAddress(descriptor).endpoint?.port ?? 0
    }

    /// Reads every waiting datagram; returns whether any was ever received.
    func receive() throws -> Bool {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let datagram = try buffer.withUnsafeMutableBytes {
                try Socket.receiveDatagram(descriptor, into: $0)
            }
            guard let (count, sender) = datagram, let endpoint = sender.endpoint else { break }
            received.append((Array(buffer[..<count]), endpoint))
        }
        return !received.isEmpty
    }

    /// Answers the latest sender.
    func answer(_ payload: [UInt8]) throws {
        guard let latest = received.last else { return }
        try send(payload, to: latest.sender)
    }

    /// Connects to the latest sender, so that the socket reports its ICMP errors.
    func connectToLatest() throws {
        guard let latest = received.last else { return }
        _ = try Socket.connect(descriptor, to: SocketAddress(latest.sender))
    }

    func send(_ payload: [UInt8], to endpoint: Endpoint) throws {
        _ = try payload.withUnsafeBytes {
            try Socket.sendDatagram(descriptor, $0, to: SocketAddress(endpoint))
        }
    }
}

/// A UDP port of the host's loopback at which nobody listens, on either address.
///
/// A port that was closed a moment ago may be another test's now. These sockets have the port, but
/// are connected to themselves, so the kernel finds no socket for the datagrams of others.
final class ClosedPort {
    private let ipv4: OwnedDescriptor
    private let ipv6: OwnedDescriptor
    let port: UInt16

    init() throws {
        // The kernel chooses the port for one address; another test may have it at the other.
        for _ in 0..<100 {
            let ipv4 = try Self.socket(at: .loopbackIPv4, 0)
            let port = try Socket.localAddress(ipv4).endpoint?.port ?? 0
            do throws(SystemError) {
                ipv6 = try Self.socket(at: .loopbackIPv6, port)
                self.ipv4 = ipv4
                self.port = port
                return
            } catch {
                guard error.isAddressInUse else { throw error }
            }
        }
        throw ScriptError(description: "no port is free at both loopback addresses")
    }

    /// The port as guests reach it.
    var endpoint: Endpoint { Endpoint(address: ScriptedGuest.hostAlias, port: port) }

    private static func socket(
        at address: IPAddress,
        _ port: UInt16
    ) throws(SystemError) -> OwnedDescriptor {
        let descriptor = try ListeningSocket.udp(Endpoint(address: address, port: port))
        _ = try Socket.connect(descriptor, to: try Socket.localAddress(descriptor))
        return descriptor
    }
}
