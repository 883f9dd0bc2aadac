import CLinux
import Foundation
import Glibc
import Testing

@testable import RDNetKit

@Suite(
    "capture to a full disk and to a named pipe",
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct CaptureOutputTests {
    private let directory = TemporaryDirectory()

    /// Starts a network whose capture goes to a file in the directory.
    private func start(_ name: String, options: [String] = []) throws -> SwitchedGuest {
        try SwitchedGuest(hostOptions: ["--capture", directory.file(name)] + options)
    }

    private func ping(_ world: SwitchedGuest, count: Int = 1, size: Int = 56) throws {
        let text = try world.guest.run(
            "ping",
            "-q",
            "-f",
            "-c",
            "\(count)",
            "-s",
            "\(size)",
            SwitchedGuest.gateway
        )
        #expect(text.contains(" \(count) received"), "\(text)")
    }

    private func log(of world: SwitchedGuest) throws -> String {
        try String(contentsOfFile: world.directory.file("host.log"), encoding: .utf8)
    }

    private func lostFrames(_ world: SwitchedGuest) throws -> Int {
        let stats = try world.askAPI("/stats")
        let document = try JSONParser.parse(Array(stats.utf8), maximumValues: 10_000)
        return Int(document.member("Capture")?.member("LostFrames")?.text ?? "") ?? -1
    }

    private func occurrences(of text: String, in log: String) -> Int {
        log.components(separatedBy: text).count - 1
    }

    /// The number of packets that tshark finds; it fails if the file ends within a record.
    private func packets(in path: String) throws -> Int {
        try run("sh", "-c", "tshark -n -r \(path) 2>/dev/null").split(separator: "\n").count
    }

    @Test func `a full disk costs whole frames, which are counted and reported once`() throws {
        try run("mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", directory.path)
        defer { #expect(throws: Never.self) { try run("umount", "-l", directory.path) } }
        try run("sh", "-c", "head -c 65536 /dev/zero >\(directory.file("filler"))")
        let world = try start("frames.pcap")
        try ping(world, count: 100, size: 1_000)
        let lost = try lostFrames(world)
        #expect(lost > 0)
        let full = try log(of: world)
        #expect(occurrences(of: "capture loses frames", in: full) == 1, "\(full)")
        #expect(full.contains("No space left on device"))
        let before = try packets(in: directory.file("frames.pcap"))
        #expect(before > 0)
        unlink(directory.file("filler"))
        try ping(world, count: 5)
        #expect(try comesTrue { try log(of: world).contains("capture continues") })
        world.hostSwitch?.end()
        #expect(try packets(in: directory.file("frames.pcap")) >= before + 10)
    }

    @Test func `a limit on the size of files does not end the program`() throws {
        let world = try start("frames.pcap")
        let number = try #require(world.hostSwitch?.number)
        try run("prlimit", "--pid", "\(number)", "--fsize=20000")
        try ping(world, count: 100, size: 1_000)
        #expect(world.hostSwitch?.isRunning == true)
        #expect(try log(of: world).contains("File too large"))
        #expect(try packets(in: directory.file("frames.pcap")) > 0)
    }

    @Test func `a pipe without a reader holds up nothing, and every reader gets a whole file`()
        throws
    {
        try run("mkfifo", directory.file("pipe"))
        let world = try start("pipe")
        try ping(world)
        #expect(try log(of: world).contains("capture is waiting for a reader"))
        for name in ["first.pcap", "second.pcap"] {
            let reader = try RunningProgram(
                ["cat", directory.file("pipe")],
                output: URL(fileURLWithPath: directory.file(name))
            )
            let hasFrames = try comesTrue {
                try ping(world)
                return try packets(in: directory.file(name)) > 0
            }
            #expect(hasFrames)
            reader.end(with: SIGKILL)
        }
        #expect(world.hostSwitch?.end() == true)
        let log = try log(of: world)
        #expect(occurrences(of: "capture loses frames", in: log) == 1, "\(log)")
    }

    @Test func `a reader that has stopped holds up nothing and misses whole frames only`() throws {
        try run("mkfifo", directory.file("pipe"))
        let path = directory.file("pipe")
        let reader = OwnedDescriptor(
            adopting: try systemCall("open") { open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC) }
        )
        let world = try start("pipe")
        let isFull = try comesTrue {
            try ping(world, count: 500, size: 1_400)
            return try lostFrames(world) > 100
        }
        #expect(isFull, "\(world.logs)")
        // What was in the pipe and the rest of the record that was cut there.
        var octets: [UInt8] = []
        let drain = {
            var buffer = [UInt8](repeating: 0, count: 65_536)
            while case let count = read(reader.number, &buffer, buffer.count), count > 0 {
                octets += buffer[..<count]
            }
        }
        drain()
        try ping(world, count: 3)
        drain()
        world.hostSwitch?.end()
        drain()
        try Data(octets).write(to: URL(fileURLWithPath: directory.file("read.pcap")))
        #expect(try packets(in: directory.file("read.pcap")) > 100)
        #expect(octets.count > 1 << 16)
    }
}
