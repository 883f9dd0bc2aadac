import CLinux
import Foundation
import Glibc
import Testing

@testable import RDNetKit

/// `gvforwarder` in a namespace, and the test's own `/connect`, which leads to `host-switch`.
final class ForwardedGuest {
    /// The original's request, byte for byte.
    static let request =
        "POST /connect HTTP/1.1\r\nHost: \r\nUser-Agent: Go-http-client/1.1\r\n"
        + "Content-Length: 0\r\n\r\n"

    let guest: NetworkNamespace
    let directory = TemporaryDirectory()
    private(set) var forwarder: RunningProgram?
    private var listener: OwnedDescriptor?
    private var host: Process?

    init() throws {
        guest = try NetworkNamespace()
    }

    deinit {
        forwarder?.end(with: SIGKILL)
        endHost()
    }

    /// Starts gvforwarder with a URL; by default, `accept` accepts its connection.
    func start(_ options: String..., url: String? = nil) throws {
        let path = directory.file("connect")
        if url == nil { listener = .some(try ListeningSocket.unix(path: path)) }
        forwarder = try RunningProgram(
            [
                BuiltProgram.rdnet, "gvforwarder", "-url", url ?? "unix://\(path)", "-logfile",
                directory.file("log"), "-resolv-conf", directory.file("resolv.conf"),
            ] + options,
            in: guest
        )
    }

    /// Accepts gvforwarder's next connection.
    func accept() throws -> HostPeer {
        var peer: HostPeer?
        let hasCome = try comesTrue {
            switch listener {
            case .some(let listener):
                if let accepted = try Socket.accept(listener) {
                    peer = HostPeer(try accepted.descriptor.duplicate())
                }
            case .none: break
            }
            return peer != nil
        }
        #expect(hasCome, "\(log)")
        return try #require(peer)
    }

    /// Reads exactly as many bytes as the request has; leaves the rest to another reader.
    func readRequest(_ peer: HostPeer) -> String {
        let length = Self.request.utf8.count
        _ = comesTrue {
            peer.read(atMost: length - peer.received.count)
            return peer.received.count == length || peer.hasEnded
        }
        return String(decoding: peer.received, as: UTF8.self)
    }

    /// Makes host-switch continue a connection.
    func serve(_ peer: HostPeer, _ options: String...) throws {
        endHost()
        let stream = try peer.duplicate()
        try stream.setBlocking()
        let handle = FileHandle(fileDescriptor: stream.release(), closeOnDealloc: true)
        let process = Process()
        process.executableURL = URL(fileURLWithPath: BuiltProgram.rdnet)
        process.arguments = ["host-switch", "--link", "stdio://"] + options
        process.standardInput = handle
        process.standardOutput = handle
        process.standardError = FileHandle.nullDevice
        try process.start()
        try handle.close()
        peer.close()
        host = process
    }

    func endHost() {
        host?.terminate()
        host?.waitUntilExit()
        host = nil
    }

    func waitForAddress(_ interface: String) throws {
        let hasCome = try comesTrue {
            // Lists all interfaces, because this one may not exist yet.
            try guest.run("ip", "-4", "-o", "address").contains(
                "\(interface)    inet 192.168.127.2/24"
            )
        }
        #expect(hasCome, "\(log)")
    }

    func reachesGateway() -> Bool {
        do {
            try guest.run("ping", "-c", "1", "-W", "1", "192.168.127.1")
            return true
        } catch {
            return false
        }
    }

    var log: String { text("log") }

    func text(_ file: String) -> String {
        directory.text(of: file)
    }
}
