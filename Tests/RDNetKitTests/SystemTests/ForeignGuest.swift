import CLinux
import Glibc
import Testing

@testable import RDNetKit

/// A guest that only exchanges frames, over any kind of link that a host supports.
final class ForeignGuest {
    /// The transport of the guest's frames.
    enum Transport: String, CaseIterable, Sendable {
        case rancher, qemu, vpnkit, bess, vfkit, connect

        /// The `--link` value for this transport; nil for `/connect`, which belongs to the API.
        fileprivate func link(at path: String) -> String? {
            switch self {
            case .rancher: "unix://\(path)"
            case .qemu: "qemu+unix://\(path)"
            case .vpnkit: "vpnkit+unix://\(path)"
            case .bess: "bess+unix://\(path)"
            case .vfkit: "vfkit+unixgram://\(path)"
            case .connect: nil
            }
        }
    }

    private enum Ends {
        case stream(HostPeer)
        case packets(PacketPeer)
    }

    /// Returns host-switch's options for guests of every kind.
    static func links(in directory: TemporaryDirectory) -> [String] {
        Transport.allCases.flatMap { transport in
            transport.link(at: directory.file(transport.rawValue)).map { ["--link", $0] } ?? []
        }
    }

    /// The guest's own addresses: guests of different transports may be connected at once.
    let mac: MACAddress
    let address: IPAddress
    private let transport: Transport
    private let ends: Ends
    /// The number of bytes before the first frame.
    private var greetingLength = 0

    /// Connects to a host-switch that was started with `links`, and with its API at `api`.
    init(_ transport: Transport, in directory: TemporaryDirectory) throws {
        self.transport = transport
        let index = Transport.allCases.firstIndex(of: transport) ?? 0
        mac = MACAddress(rawValue: 0x5254_0012_3450 + UInt64(index))
        address = IPAddress(ipv4: 0xc0a8_7f4d + UInt32(index))
        let path = directory.file(transport == .connect ? "api" : transport.rawValue)
        try #require(comesTrue { access(path, F_OK) == 0 }, "\(path)")
        switch transport {
        case .bess: ends = .packets(try PacketPeer(packetsAt: path))
        case .vfkit:
            let own = directory.file("vfkit-guest")
            ends = .packets(try PacketPeer(datagramsAt: path, from: own))
        case .rancher, .qemu, .vpnkit, .connect:
            let socket = try Socket.makeUnix()
            try #require(try Socket.connect(socket, to: #require(SocketAddress(path: path))))
            ends = .stream(HostPeer(socket))
        }
        try greet()
    }

    private func greet() throws {
        guard case .stream(let peer) = ends else { return }
        switch transport {
        case .vpnkit:
            let hello = Array("VMN3T".utf8) + [UInt8](repeating: 1, count: 44)
            let machine = "c3d68012-0208-11ea-9fd7-f2189899ab08"
            try peer.write(hello + [1] + Array(machine.utf8) + [0, 0, 0, 0])
            greetingLength = 49 + 258
        case .connect: try peer.write(Array(ForwardedGuest.request.utf8))
        case .rancher, .qemu, .bess, .vfkit: break
        }
    }

    /// Sends a frame; returns false if the other end takes none now.
    @discardableResult
    func send(_ frame: [UInt8]) throws -> Bool {
        switch ends {
        case .packets(let peer): return try peer.send(frame)
        case .stream(let peer):
            let count = frame.count
            let prefix =
                transport == .qemu
                ? [0, 0, UInt8(count >> 8), UInt8(count & 255)]
                : [UInt8(count & 255), UInt8(count >> 8)]
            return try peer.write(prefix + frame) == prefix.count + count
        }
    }

    /// Returns every frame received so far.
    func frames() throws -> [[UInt8]] {
        switch ends {
        case .packets(let peer):
            packets += try peer.receiveAll()
            return packets
        case .stream(let peer):
            peer.read()
            return split(peer.received.dropFirst(greetingLength))
        }
    }

    private var packets: [[UInt8]] = []

    private func split(_ octets: ArraySlice<UInt8>) -> [[UInt8]] {
        var (rest, frames) = (octets, [[UInt8]]())
        let prefix = transport == .qemu ? 4 : 2
        while rest.count >= prefix {
            let length = Array(rest.prefix(prefix))
            let count =
                transport == .qemu
                ? Int(length[2]) << 8 | Int(length[3]) : Int(length[0]) | Int(length[1]) << 8
            guard rest.count >= prefix + count else { break }
            frames.append(Array(rest.dropFirst(prefix).prefix(count)))
            rest = rest.dropFirst(prefix + count)
        }
        return frames
    }

    /// Whether the other end has closed the connection.
    var hasEnded: Bool {
        guard case .stream(let peer) = ends else { return false }
        peer.read()
        return peer.hasEnded || peer.failure != nil
    }

    /// Queries the gateway's Ethernet address; returns whether an answer arrived.
    func asksGateway() throws -> Bool {
        let before = try answers()
        var question = ARPQuestion.frame
        question.replaceSubrange(6..<12, with: mac.octets)
        question.replaceSubrange(22..<32, with: mac.octets + address.octets)
        // A guest that has not read for a while may find no room at first.
        #expect(try comesTrue { try send(question) })
        return try comesTrue { try answers() > before }
    }

    /// Returns the number of ARP replies so far.
    private func answers() throws -> Int {
        try frames().count {
            $0.count >= 42 && $0[12...13] == [0x08, 0x06] && $0[20...21] == [0, 2]
        }
    }
}
