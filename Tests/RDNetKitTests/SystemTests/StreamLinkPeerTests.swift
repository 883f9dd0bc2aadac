import CLinux
import Foundation
import Glibc
import Testing

@testable import RDNetKit

/// Another program's end of a link: blocking, with a configurable prefix.
private final class ForeignPeer {
    private let descriptor: OwnedDescriptor
    private let prefix: (Int) -> [UInt8]

    init(path: String, prefix: @escaping (Int) -> [UInt8]) throws {
        self.prefix = prefix
        descriptor = OwnedDescriptor(
            adopting: try systemCall("socket") { socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0) }
        )
        let number = descriptor.number
        var patience = timeval(tv_sec: 10, tv_usec: 0)
        let size = socklen_t(MemoryLayout<timeval>.size)
        try systemCall("setsockopt") {
            setsockopt(number, SOL_SOCKET, SO_RCVTIMEO, &patience, size)
        }
        let address = try #require(SocketAddress(path: path))
        let isConnected = comesTrue { address.withPointer { connect(number, $0, $1) } == 0 }
        try #require(isConnected)
    }

    func send(_ frame: [UInt8]) throws {
        let octets = prefix(frame.count) + frame
        let number = descriptor.number
        #expect(try systemCall("write") { write(number, octets, octets.count) } == octets.count)
    }

    func receive(_ count: Int) throws -> [UInt8] {
        var octets = [UInt8](repeating: 0, count: count)
        let number = descriptor.number
        let got = try systemCall("recv") {
            recv(number, &octets, count, Int32(MSG_WAITALL))
        }
        return Array(octets.prefix(got))
    }
}

@Suite("a link's other end")
struct StreamLinkPeerTests {
    @Test(
        "is asked for nothing it does not know, and gets plain frames",
        arguments: ["qemu+unix", "unix"]
    )
    func plainFrames(scheme: String) throws {
        let directory = TemporaryDirectory()
        let path = directory.file("link")
        let program = try RunningProgram([
            BuiltProgram.rdnet, "host-switch", "--link", "\(scheme)://\(path)", "--logfile",
            directory.file("log"),
        ])
        let isQEMU = scheme == "qemu+unix"
        let peer = try ForeignPeer(path: path) { length in
            isQEMU
                ? [0, 0, UInt8(length >> 8), UInt8(length & 0xff)]
                : [UInt8(length & 0xff), UInt8(length >> 8)]
        }
        try peer.send(ARPQuestion.frame)
        let prefix = try peer.receive(isQEMU ? 4 : 2)
        let length = isQEMU ? Int(prefix[2]) << 8 | Int(prefix[3]) : Int(prefix[0])
        let answer = try peer.receive(length)
        ARPQuestion.expectAnswer(answer)
        #expect(program.isRunning)
    }
}
