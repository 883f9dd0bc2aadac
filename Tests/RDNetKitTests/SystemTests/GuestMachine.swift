import Foundation
import Glibc
import Testing

@testable import RDNetKit

/// The guests' system: Debian's kernel and busybox, fetched once (Tests/Guests/fetch.sh).
enum GuestImage {
    private static let scripts = SourceTree.root.appendingPathComponent("Tests/Guests").path
    private static let fetched = Result {
        let directory = SourceTree.root.appendingPathComponent(".build/guests").path
        try run("\(scripts)/fetch.sh", directory)
        return directory
    }

    /// Returns the path of the kernel.
    static func kernel() throws -> String {
        try fetched.get() + "/vmlinuz"
    }

    /// Returns a program of this machine and its libraries, keyed by their paths in the guest.
    static func program(_ name: String) throws -> [String: String] {
        let path = try run("sh", "-c", "command -v \(name)").trimmingCharacters(in: .newlines)
        var files = ["/bin/\(name)": path]
        for word in try run("ldd", path).split(whereSeparator: \.isWhitespace)
        where word.hasPrefix("/") {
            files[String(word)] = String(word)
        }
        return files
    }

    /// Creates a guest's file system: an archive with kernel modules and additional files.
    ///
    /// The modules' dependencies are included; they are User Mode Linux's, or Debian's. `files`
    /// has the files by their paths in the guest.
    /// See Tests/Guests/initrd.sh.
    static func makeFileSystem(
        _ path: String,
        modules: [String],
        isUserMode: Bool = false,
        files: [String: String] = [:]
    ) throws {
        let options =
            (isUserMode ? ["-k", "/usr/lib/uml/modules"] : [])
            + modules.flatMap { ["-m", $0] } + files.flatMap { ["-f", "\($0.value):\($0.key)"] }
        try run(["\(scripts)/initrd.sh"] + options + [try fetched.get(), path])
    }
}

/// A guest with its own kernel, which runs commands from its console.
final class GuestMachine {
    private let program: RunningProgram
    private let console: URL
    /// The number of bytes of console output already processed.
    private var seen = 0

    private init(_ arguments: [String], console: String) throws {
        self.console = URL(fileURLWithPath: console)
        program = try RunningProgram(arguments, output: self.console)
    }

    deinit {
        kill()
    }

    /// Starts QEMU with an emulated processor, which needs no privileges and takes a few seconds.
    ///
    /// The console's output goes to a file. `network` is the argument of `-netdev` without its
    /// name, and the Ethernet address; memory is in mebibytes. With `sharing`, the memory is shared
    /// over that socket, to which QEMU connects again and again.
    static func qemu(
        _ fileSystem: String,
        console: String,
        network: (backend: String, mac: String)? = nil,
        memory: Int = 128,
        sharing socket: String? = nil
    ) throws -> GuestMachine {
        let fixed = [
            "qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-m", "\(memory)", "-nodefaults",
            "-no-user-config", "-no-reboot", "-display", "none", "-serial", "stdio", "-kernel",
            try GuestImage.kernel(), "-initrd", fileSystem, "-append",
            "console=ttyS0 quiet panic=-1",
        ]
        let device = network.map { backend, mac in
            [
                "-netdev", "\(backend),id=net", "-device",
                "virtio-net-pci,netdev=net,mac=\(mac),romfile=",
            ]
        }
        let shared = socket.map { path in
            [
                "-object", "memory-backend-memfd,id=memory,size=\(memory)M,share=on", "-machine",
                "memory-backend=memory", "-chardev", "socket,id=link,path=\(path),reconnect=1",
            ]
        }
        return try GuestMachine(fixed + (shared ?? []) + (device ?? []), console: console)
    }

    /// Starts User Mode Linux, with its `bess` transport as interface vec0.
    static func userMode(
        _ fileSystem: String,
        console: String,
        socket: String,
        mac: String
    ) throws -> GuestMachine {
        try GuestMachine(
            [
                "linux.uml", "mem=192M", "initrd=\(fileSystem)", "quiet", "panic=-1",
                "con=fd:0,fd:1",
                "uml_dir=\(console).uml", "vec0:transport=bess,dst=\(socket),mac=\(mac)",
            ],
            console: console
        )
    }

    /// Waits until the guest accepts commands.
    func waitUntilReady() throws {
        _ = try wait(for: "@@ready", within: hangGuard)
    }

    /// Runs a shell command in the guest and returns its output.
    ///
    /// Throws if the status is not 0 or the time limit passes.
    @discardableResult
    func run(_ command: String, within limit: Duration = hangGuard) throws -> String {
        try program.write(line: command)
        let (output, status) = try wait(for: "@@", within: limit)
        guard status == "0" else {
            throw ProgramFailure(description: "in the guest, \(command): \(output)")
        }
        return output
    }

    /// Ends the guest as a power failure would.
    func kill() {
        // User Mode Linux has many processes; the program leads its own process group.
        if program.isRunning { Glibc.kill(-program.number, SIGKILL) }
        program.end(with: SIGKILL)
    }

    /// Waits for a line with this prefix; returns the output before it, and the rest of the line.
    private func wait(for mark: String, within limit: Duration) throws -> (String, String) {
        var found: (String, String)?
        let hasCome = try comesTrue(within: limit) {
            let octets = try Data(contentsOf: console).dropFirst(seen)
            var before = ""
            // Splits bytes, not characters: the kernel ends its lines with CR and LF, which form a
            // single character.
            for line in octets.split(separator: 10, omittingEmptySubsequences: false).dropLast() {
                let line = String(decoding: line, as: UTF8.self)
                if line.hasPrefix(mark) {
                    seen += before.utf8.count + line.utf8.count + 1
                    let rest = line.dropFirst(mark.count)
                    found = (before, rest.trimmingCharacters(in: .whitespaces))
                    return true
                }
                before += line + "\n"
            }
            return !program.isRunning
        }
        guard hasCome, let found else {
            let text = String(decoding: try Data(contentsOf: console), as: UTF8.self)
            throw ProgramFailure(description: "no \(mark) on the guest's console: \(text)")
        }
        return found
    }
}
