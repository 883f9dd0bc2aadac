import CLinux
import Foundation
import Glibc
import Testing

@testable import RDNetKit

/// `vm-switch` in its own namespace, on a stream without a host.
private final class LoneSwitch {
    let guest: NetworkNamespace
    let directory = TemporaryDirectory()
    private let loop: EventLoop
    private let stream: SocketPair
    private var child: ChildProcess?
    private let record = Record()

    /// The callback's result; this object outlives the rest.
    private final class Record {
        var end: ProcessEnd?
    }

    /// Starts vm-switch with the stream as this descriptor.
    init(_ arguments: [String], descriptor: Int = 3, log: String = "") throws {
        guest = try NetworkNamespace()
        loop = try EventLoop()
        stream = try Socket.pair()
        if !log.isEmpty { try AtomicFile.replace(directory.file("log"), with: log) }
        var command = ChildProcess.Command(path: BuiltProgram.rdnet)
        command.arguments =
            ["vm-switch", "-logfile", directory.file("log"), "-resolv-conf", ""] + arguments
        command.environment = ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]
        command.descriptors = Array(repeating: nil, count: descriptor) + [stream.other.number]
        let nothing = try #require(FileHandle(forWritingAtPath: "/dev/null"))
        command.descriptors[2] = nothing.fileDescriptor
        child = try guest.enter {
            try ChildProcess(command, on: loop) { [record] cause, _ in record.end = cause }
        }
    }

    deinit {
        child?.terminate()
        #expect(throws: Never.self) { _ = try end() }
    }

    var log: String {
        directory.text(of: "log")
    }

    func send(_ signal: Int32) { child?.send(signal: signal) }

    /// Waits for vm-switch's end, at most for `hangGuard`.
    func end() throws -> ProcessEnd {
        let deadline = EventLoop.monotonicClock() + hangGuard
        while record.end == nil, EventLoop.monotonicClock() < deadline {
            try loop.turn(waitingAtMost: .milliseconds(20))
        }
        return try #require(record.end)
    }

    /// Waits until the log contains a text.
    func says(_ text: String) -> Bool {
        comesTrue { log.contains(text) }
    }
}

@Suite(
    "vm-switch's flags",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct VMSwitchChildTests {
    @Test func `the stream may be any descriptor`() throws {
        let vmSwitch = try LoneSwitch(["-vsock-fd", "0x9"], descriptor: 9)
        #expect(vmSwitch.says("connected to the host"))
        #expect(vmSwitch.log.contains("link=\"fd://9\""))
        vmSwitch.send(SIGTERM)
        #expect(try vmSwitch.end() == .exited(1))
    }

    @Test("a signal ends it with status 1", arguments: [SIGTERM, SIGINT])
    func signals(signal: Int32) throws {
        let vmSwitch = try LoneSwitch([])
        #expect(vmSwitch.says("connected to the host"))
        vmSwitch.send(signal)
        #expect(try vmSwitch.end() == .exited(1))
        #expect(try !vmSwitch.guest.run("ip", "link").contains("eth0"))
    }

    @Test func `packets are traced from the start, or between one SIGUSR1 and the next`() throws {
        let traced = try LoneSwitch(["-trace-packets"])
        #expect(traced.says("direction=out"))
        let switched = try LoneSwitch([])
        #expect(switched.says("connected to the host"))
        #expect(!switched.log.contains("direction=out"))
        switched.send(SIGUSR1)
        #expect(switched.says("packet tracing is on"))
        #expect(switched.says("direction=out"))
        switched.send(SIGUSR1)
        #expect(switched.says("packet tracing is off"))
    }

    @Test(
        "an old log is kept unless told otherwise",
        arguments: [([], true), (["-logfile-append"], true), (["-logfile-append=false"], false)]
    )
    func oldLog(arguments: [String], isKept: Bool) throws {
        let vmSwitch = try LoneSwitch(arguments, log: "before\n")
        #expect(vmSwitch.says("connected to the host"))
        #expect(vmSwitch.log.hasPrefix("before\n") == isKept)
    }

    @Test func `an empty Ethernet address is the kernel's choice`() throws {
        let vmSwitch = try LoneSwitch(["-tap-mac-address", ""])
        #expect(vmSwitch.says("connected to the host"))
        let link = try vmSwitch.guest.run("ip", "link", "show", "eth0")
        #expect(link.contains("link/ether") && !link.contains("5a:94:ef:e4:0c:ee"))
    }

    @Test(
        "what it cannot begin with is one sentence, and status 1",
        arguments: [
            (["-tap-interface", "lo"], "lo: an interface of that name exists already"),
            (
                ["-dhcp-script", "/nowhere/script"],
                "--dhcp-script: \\\"/nowhere/script\\\" is not a program; "
                    + "expected the path of an executable file"
            ),
            (
                ["-vsock-fd", "987654"],
                "link fd://987654: descriptor 987654 was not handed over: Bad file descriptor"
            ),
        ]
    )
    func cannotBegin(arguments: [String], sentence: String) throws {
        let vmSwitch = try LoneSwitch(arguments)
        #expect(try vmSwitch.end() == .exited(1))
        #expect(vmSwitch.log.contains("level=fatal msg=\"\(sentence)\""), "\(vmSwitch.log)")
        #expect(try !vmSwitch.guest.run("ip", "link").contains("eth0"))
    }
}
