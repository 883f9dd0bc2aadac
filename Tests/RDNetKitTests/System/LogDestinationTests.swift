import CLinux
import Foundation
import Glibc
import Testing

@testable import RDNetKit

@Suite("log destination")
struct LogDestinationTests {
    private let line = Array("0123456789\n".utf8)[...]

    private func withTemporaryFile(_ body: (String) throws -> Void) rethrows {
        let path = NSTemporaryDirectory() + "/rdnet-log-\(UUID().uuidString)"
        defer { unlink(path) }
        try body(path)
    }

    private func contents(_ path: String) throws -> String {
        try String(contentsOfFile: path, encoding: .utf8)
    }

    @Test func `a file is made anew, or goes on, as asked`() throws {
        try withTemporaryFile { path in
            let steps = [
                (false, "0123456789\n"), (true, "0123456789\n0123456789\n"),
                (false, "0123456789\n"),
            ]
            for (appending, expected) in steps {
                let destination = try LogDestination.file(path, appending: appending)
                #expect(destination.write(line) == 11)
                #expect(try contents(path) == expected)
            }
        }
    }

    @Test func `a file in a directory that is not there is refused with its path`() {
        let path = "/nonexistent-rdnet/x.log"
        #expect(throws: SystemError(call: "open \(path)", errno: ENOENT)) {
            _ = try LogDestination.file(path, appending: true)
        }
    }

    @Test func `a full pipe takes nothing, makes nobody wait and stays as blocking as it was`()
        throws
    {
        var ends: [Int32] = [-1, -1]
        try #require(pipe(&ends) == 0)
        defer { ends.forEach { close($0) } }
        let destination = try LogDestination.inherited(ends[1])
        let page = [UInt8](repeating: 0x2e, count: 4096)
        var taken = 0
        while case let count = destination.write(page[...]), count > 0 { taken += count }
        #expect(taken >= 4096)
        #expect(destination.write(line) == 0)
        #expect(destination.lossCause == "the reader was too slow")
        #expect(fcntl(ends[1], F_GETFL) & O_NONBLOCK == 0)
        #expect(!destination.isTerminal)
    }

    @Test func `a full socket takes nothing and makes nobody wait`() throws {
        var ends: [Int32] = [-1, -1]
        try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
        defer { ends.forEach { close($0) } }
        let destination = try LogDestination.inherited(ends[1])
        let page = [UInt8](repeating: 0x2e, count: 4096)
        while destination.write(page[...]) > 0 {}
        #expect(destination.write(line) == 0)
        #expect(fcntl(ends[1], F_GETFL) & O_NONBLOCK == 0)
    }

    @Test func `a pipe whose reader has gone takes nothing and raises no signal`() throws {
        var ends: [Int32] = [-1, -1]
        try #require(pipe(&ends) == 0)
        let destination = try LogDestination.inherited(ends[1])
        ends.forEach { close($0) }
        #expect(destination.write(line) == 0)
    }

    @Test func `a socket whose reader has gone takes nothing and raises no signal`() throws {
        var ends: [Int32] = [-1, -1]
        try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
        let destination = try LogDestination.inherited(ends[1])
        ends.forEach { close($0) }
        #expect(destination.write(line) == 0)
    }

    @Test func `a named pipe needs no reader, and keeps its lines for the next one`() throws {
        try withTemporaryFile { path in
            #expect(mkfifo(path, 0o600) == 0)
            let destination = try LogDestination.file(path, appending: false)
            #expect(destination.write(line) == 11)
            let reader = open(path, O_RDONLY | O_NONBLOCK)
            defer { close(reader) }
            var octets = [UInt8](repeating: 0, count: 64)
            #expect(read(reader, &octets, octets.count) == 11)
        }
    }

    @Test func `an error of the file is the cause of a loss`() throws {
        let destination = try LogDestination.file("/dev/full", appending: true)
        #expect(destination.write(line) == 0)
        #expect(destination.lossCause == "No space left on device")
    }
}
