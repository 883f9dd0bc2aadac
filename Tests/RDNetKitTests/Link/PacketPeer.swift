import CLinux
import Glibc
import Testing

@testable import RDNetKit

/// The guest's end of a packet or datagram link; it never blocks.
final class PacketPeer {
    private let descriptor: OwnedDescriptor

    private init(_ descriptor: consuming OwnedDescriptor) {
        self.descriptor = descriptor
    }

    /// Connects to a packet socket, as BESS's clients do.
    init(packetsAt path: String) throws {
        descriptor = try Socket.make(AF_UNIX, SocketKind.packet)
        #expect(try Socket.connect(descriptor, to: #require(SocketAddress(path: path))))
    }

    /// Creates a datagram socket, as vfkit and libkrun do; without a name it stays unbound.
    init(datagramsAt path: String, from name: String?, isConnected: Bool = true) throws {
        descriptor = try Socket.make(AF_UNIX, SocketKind.datagram)
        if let name {
            let address = try #require(SocketAddress(path: name))
            try Socket.bind(descriptor, to: address, named: name)
        }
        target = isConnected ? nil : SocketAddress(path: path)
        if isConnected { try connect(to: path) }
    }

    private var target: SocketAddress?

    private func connect(to path: String) throws {
        #expect(try Socket.connect(descriptor, to: #require(SocketAddress(path: path))))
    }

    /// Sends one packet; returns false if the other end takes none now.
    @discardableResult
    func send(_ octets: [UInt8]) throws -> Bool {
        try octets.withUnsafeBytes { packet in
            var batch = OutgoingPackets()
            batch.append(packet)
            return try batch.send(over: descriptor, to: target) != nil
        }
    }

    /// Returns the next waiting packet; it is also empty at the end of a connection.
    func receive() throws -> [UInt8]? {
        var room = [UInt8](repeating: 0, count: 70_000)
        let count = try room.withUnsafeMutableBytes { try Socket.receive(descriptor, into: $0) }
        return count.map { Array(room.prefix($0)) }
    }

    /// Returns every waiting packet.
    func receiveAll() throws -> [[UInt8]] {
        var packets: [[UInt8]] = []
        while let packet = try receive() { packets.append(packet) }
        return packets
    }

    /// Shuts down the sending direction.
    func endSending() {
        Socket.shutDownSending(descriptor)
    }
}
