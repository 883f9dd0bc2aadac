import CLinux
import Foundation
import Glibc
import Testing

@testable import RDNetKit

/// A host-switch, and `vm-switch` as our own child, which receives a stream to it.
private final class HandedStream {
    let host: NetworkNamespace
    let guest: NetworkNamespace
    let directory = TemporaryDirectory()
    let loop: EventLoop
    /// The callbacks' results; this object outlives the rest.
    private final class Record {
        var requests = 0
        var end: ProcessEnd?
    }

    private let record = Record()
    private var hostSwitch: RunningProgram?
    private(set) var process: SwitchProcess?

    init(script: String = "", environment: [String] = []) throws {
        host = try NetworkNamespace()
        guest = try NetworkNamespace()
        loop = try EventLoop()
        for namespace in [host, guest] { try namespace.run("ip", "link", "set", "lo", "up") }
        try startHostSwitch()
        var command = ChildProcess.Command(path: BuiltProgram.rdnet)
        command.arguments =
            ["vm-switch", "--logfile", directory.file("guest.log"), "--resolv-conf", ""]
            + (script.isEmpty ? [] : ["--dhcp-script", script])
        command.environment = ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"] + environment
        let network = try guest.enter { try Namespace.currentNetwork() }
        process = try SwitchProcess(
            command,
            in: network,
            stream: try dial(),
            on: loop,
            wantsStream: { [record] in record.requests += 1 },
            ended: { [record] cause, _ in record.end = cause }
        )
    }

    var requests: Int { record.requests }
    var end: ProcessEnd? { record.end }

    deinit {
        process?.kill()
        #expect(throws: Never.self) { try turn { record.end != nil } }
        hostSwitch?.end(with: SIGKILL)
    }

    func startHostSwitch() throws {
        hostSwitch?.end(with: SIGKILL)
        hostSwitch = try RunningProgram(
            [
                BuiltProgram.rdnet, "host-switch", "--link", "unix://" + directory.file("link"),
                "--logfile", directory.file("host.log"),
            ],
            in: host
        )
    }

    /// Connects to host-switch once it listens.
    func dial() throws -> OwnedDescriptor {
        let address = try #require(StreamAddress("unix://" + directory.file("link")))
        let deadline = ContinuousClock.now + hangGuard
        while true {
            do {
                let socket = try LinkOpener.dial(.stream(address, .littleEndian16))
                return try socket.descriptor.duplicate()
            } catch {
                guard ContinuousClock.now < deadline else { throw error }
                usleep(10_000)
            }
        }
    }

    /// Turns the loop until a condition holds; fails after `hangGuard`.
    func turn(until isDone: () throws -> Bool) throws {
        let deadline = EventLoop.monotonicClock() + hangGuard
        while try !isDone() {
            try #require(EventLoop.monotonicClock() < deadline, "it did not happen")
            try loop.turn(waitingAtMost: .milliseconds(20))
        }
    }

    func hasAddress() throws -> Bool {
        try guest.run("ip", "-4", "address").contains("inet 192.168.127.2/24")
    }

    /// Returns the identity of a descriptor of `vm-switch`: `socket:[inode]`.
    func file(_ number: Int) throws -> String {
        let process = try #require(process?.process)
        let path = "/proc/\(process)/fd/\(number)"
        let file = try FileManager.default.destinationOfSymbolicLink(atPath: path)
        try #require(file.hasPrefix("socket:["))
        return file
    }

    /// Returns the index of the interface; a new interface has another index.
    func interface() throws -> String {
        String(try guest.run("ip", "-o", "link", "show", "eth0").prefix { $0 != ":" })
    }
}

@Suite(
    "vm-switch as network-setup's child",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct SwitchProcessTests {
    @Test func `asks for a stream when its own has ended, and keeps interface and address`() throws
    {
        let world = try HandedStream()
        try world.turn { try world.hasAddress() }
        let interface = try world.interface()
        for round in 1...2 {
            try world.startHostSwitch()
            try world.turn { world.requests == round }
            #expect(try world.hasAddress())
            try world.process?.hand(world.dial())
            try world.turn {
                do {
                    try world.guest.run("ping", "-c", "1", "-W", "1", "192.168.127.1")
                    return true
                } catch is ProgramFailure {
                    return false
                }
            }
        }
        #expect(try world.interface() == interface)
        #expect(world.end == nil)
    }

    @Test func `it alone holds the stream, and its script holds nothing of it`() throws {
        let world = try HandedStream()
        try world.turn { try world.hasAddress() }
        let process = try #require(world.process?.process)
        let stream = try world.file(3)
        for holder in try FileManager.default.contentsOfDirectory(atPath: "/proc")
        where Int32(holder) != nil && Int32(holder) != process {
            // A process may end during the inspection.
            let folder = "/proc/\(holder)/fd"
            for name in (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? [] {
                let file = try? FileManager.default.destinationOfSymbolicLink(
                    atPath: "\(folder)/\(name)"
                )
                #expect(file != stream, "process \(holder)")
            }
        }
    }

    @Test func `its script gets the environment but neither stream nor supply`() throws {
        let directory = TemporaryDirectory()
        let (script, seen) = (directory.file("script"), directory.file("seen"))
        let text = """
            #!/bin/sh
            [ "$1" = bound ] || exit 0
            { env; ls -l /proc/self/fd; } >\(seen).new && mv \(seen).new \(seen)
            """
        try AtomicFile.replace(script, with: text)
        try run("chmod", "+x", script)
        let world = try HandedStream(script: script, environment: ["NOTIFY_SOCKET=/run/nowhere"])
        try world.turn { FileManager.default.fileExists(atPath: seen) }
        let told = try String(contentsOfFile: seen, encoding: .utf8)
        #expect(told.contains("NOTIFY_SOCKET=/run/nowhere\n"))
        #expect(told.contains("interface=eth0\n") && told.contains("router=192.168.127.1\n"))
        #expect(!told.contains(LinkSupply.variable))
        for number in [3, 4] { #expect(try !told.contains(world.file(number))) }
    }

    /// The socket that `vm-switch` loses.
    private enum Loss {
        case stream
        case supply
    }

    /// Returns how `vm-switch` ends after a loss, and its log; nil if it still runs at `hangGuard`.
    private func end(
        losing loss: Loss,
        environment: [String] = ["\(LinkSupply.variable)=4"]
    ) throws -> (ProcessEnd?, String) {
        let guest = try NetworkNamespace()
        let loop = try EventLoop()
        let directory = TemporaryDirectory()
        let stream = try Socket.pair()
        let supply = try Socket.pair()
        var command = ChildProcess.Command(path: BuiltProgram.rdnet)
        command.arguments =
            ["vm-switch", "--logfile", directory.file("log"), "--resolv-conf", ""]
        command.environment = environment
        command.descriptors = [nil, nil, nil, stream.other.number, supply.other.number]
        var end: ProcessEnd?
        let child = try guest.enter {
            try ChildProcess(command, on: loop) { cause, _ in end = cause }
        }
        defer { child.terminate() }
        let hasBegun = comesTrue { (try? guest.run("ip", "link", "show", "eth0")) != nil }
        try #require(hasBegun)
        switch loss {
        case .stream: Socket.shutDownBoth(stream.one)
        case .supply: Socket.shutDownBoth(supply.one)
        }
        let deadline = EventLoop.monotonicClock() + hangGuard
        while end == nil, EventLoop.monotonicClock() < deadline {
            try loop.turn(waitingAtMost: .milliseconds(20))
        }
        let log = FileManager.default.contents(atPath: directory.file("log")) ?? Data()
        return (end, String(decoding: log, as: UTF8.self))
    }

    @Test func `ends with status 1 when its parent is gone`() throws {
        let (end, log) = try end(losing: .supply)
        #expect(end == .exited(1))
        #expect(log.contains("network-setup has exited"))
    }

    @Test func `ends with status 1 when its stream ends and nobody supplies another`() throws {
        #expect(try end(losing: .stream, environment: []).0 == .exited(1))
    }

    @Test func `waits when its stream ends and somebody supplies another`() throws {
        let (end, log) = try end(losing: .stream)
        #expect(end == nil)
        #expect(log.contains("stream to the host closed; waiting for another"))
    }
}
