import CLinux
import Foundation
import Glibc
import Testing

@testable import RDNetKit

/// `host-switch` in one namespace and `vm-switch` in another, connected by a unix socket.
final class SwitchedGuest: GuestScene {
    /// The way in which the two connect.
    enum Meeting {
        /// `vm-switch` connects to a link of `host-switch`.
        case link
        /// The test plays network-setup: after the handshake it passes the stream to `vm-switch`.
        case handshake
    }

    static let hostAlias = "192.168.127.254"
    static let gateway = "192.168.127.1"

    let host: NetworkNamespace
    let guest: NetworkNamespace
    let directory: TemporaryDirectory
    private let programs: (host: [String], guest: [String])
    private let meeting: Meeting
    private let hostOptions: [String]
    private let guestOptions: [String]
    private(set) var hostSwitch: RunningProgram?
    private(set) var vmSwitch: RunningProgram?
    var servers: [RunningProgram] = []

    /// Starts both programs and waits for the guest's address.
    init(
        _ meeting: Meeting = .link,
        address: String = "192.168.127.2",
        programs: (host: [String], guest: [String]) = ([BuiltProgram.rdnet], [BuiltProgram.rdnet]),
        hostOptions: [String] = [],
        guestOptions: [String] = []
    ) throws {
        host = try NetworkNamespace()
        guest = try NetworkNamespace()
        directory = TemporaryDirectory()
        self.programs = programs
        self.meeting = meeting
        self.hostOptions = hostOptions
        self.guestOptions = guestOptions
        for namespace in [host, guest] { try namespace.run("ip", "link", "set", "lo", "up") }
        try startHostSwitch()
        try startVMSwitch()
        try waitForAddress(address)
    }

    deinit {
        // In the other order, vm-switch would lose its peer, log that, and try to reconnect.
        vmSwitch?.end(with: SIGKILL)
        hostSwitch?.end(with: SIGKILL)
        for server in servers { server.end(with: SIGKILL) }
    }

    private var link: String { "unix://" + directory.file("link") }

    func startHostSwitch() throws {
        let guests = meeting == .link ? ["--link", link] : ["--vm", "unix://" + machine]
        let command =
            programs.host + ["host-switch"] + guests + [
                "--api", "unix://" + directory.file("api"), "--logfile", directory.file("host.log"),
            ]
        hostSwitch = try RunningProgram(command + hostOptions, in: host)
    }

    func startVMSwitch() throws {
        let stream = meeting == .link ? nil : try shakeHands()
        let host = meeting == .link ? ["--link", link] : ["--vsock-fd", "0"]
        let command =
            programs.guest + ["vm-switch"] + host + [
                "--resolv-conf", "", "--logfile", directory.file("guest.log"),
            ]
        vmSwitch = try RunningProgram(command + guestOptions, in: guest, stream: stream)
        // Another open descriptor would hide the stream's end.
        try stream?.close()
    }

    /// The virtual machine's handshake socket.
    private var machine: String { directory.file("vm") }

    /// Performs a handshake and returns its stream.
    func shakeHands() throws -> FileHandle {
        let loop = try EventLoop()
        var stream: FileHandle?
        let configuration = GuestHandshake.Configuration(
            port: .stream(.unix(machine), .littleEndian16),
            host: .stream(.unix(machine + "_6656"), .littleEndian16),
            phrase: Array(RancherProfile.current.signature.utf8)
        )
        let guest = GuestHandshake(configuration, loop: loop, log: .discarding()) {
            stream = FileHandle(fileDescriptor: $0.release(), closeOnDealloc: true)
        }
        try guest.start()
        defer { guest.stop() }
        let hasCome = try comesTrue {
            try loop.turn(waitingAtMost: .milliseconds(10))
            return stream != nil
        }
        try #require(hasCome, "no handshake: \(logs)")
        return try #require(stream)
    }

    func waitForAddress(_ address: String = "192.168.127.2") throws {
        let hasCome = try comesTrue {
            try guest.run("ip", "-4", "address").contains("inet \(address)/24")
        }
        try #require(hasCome, "no address: \(logs)")
    }

    /// Both logs, for a failed test.
    var logs: String {
        ["host.log", "guest.log"].map { name in
            let octets = FileManager.default.contents(atPath: directory.file(name)) ?? Data()
            return "\(name):\n" + String(decoding: octets, as: UTF8.self)
        }.joined(separator: "\n")
    }

    /// Whether one byte travels from the guest to the host's echo server and back.
    func reachesHost(port: Int = 7) -> Bool {
        do {
            let answer = try load("rr", Self.hostAlias, String(port), "0.01", in: guest)
            return answer["count", default: 0] > 0
        } catch {
            return false
        }
    }

    /// Sends a request to the API, as the host would.
    @discardableResult
    func askAPI(_ path: String, body: String? = nil) throws -> String {
        let data = body.map { ["-d", $0] } ?? []
        return try run(
            ["curl", "-sSf", "--unix-socket", directory.file("api"), "http://host\(path)"] + data
        )
    }
}
