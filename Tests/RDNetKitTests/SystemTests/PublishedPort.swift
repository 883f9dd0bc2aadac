import Foundation
import Testing

/// One stub of `port-proxy`, started as dockerd starts it, and what it wrote to descriptor 3.
final class PublishedPort {
    let program: RunningProgram
    private let directory = TemporaryDirectory()

    /// Starts a stub.
    ///
    /// - Parameters:
    ///   - words: The options.
    ///   - wrapper: A program and its arguments that starts the stub; empty for none.
    ///   - name: The program's name, as a link to the file.
    ///   - socket: Perl code that opens the socket `S` for descriptor 4; nil for none.
    ///   - host: The namespace of the ports.
    /// - Throws: If the stub cannot be started.
    init(
        _ words: [String],
        after wrapper: [String] = [],
        as name: String = "port-proxy",
        passing socket: String? = nil,
        in host: NetworkNamespace
    ) throws {
        let link = directory.file(name)
        try FileManager.default.createSymbolicLink(
            atPath: link,
            withDestinationPath: BuiltProgram.rdnet
        )
        let open = """
            use IO::Socket::IP; use POSIX; $^F = 4; \(socket ?? "open(S, '/dev/null')");
            POSIX::dup2(fileno(S), 4); exec @ARGV
            """
        program = try RunningProgram(
            ["bash", "-c", "exec 3> >(cat >\(directory.file("status"))); exec \"$@\"", "bash"]
                + (socket == nil ? [] : ["perl", "-e", open]) + wrapper + [link] + words,
            in: host,
            output: URL(fileURLWithPath: directory.file("output"))
        )
    }

    /// What the stub wrote to descriptor 3.
    var status: String { text("status") }
    var output: String { text("output") }

    private func text(_ name: String) -> String {
        directory.text(of: name)
    }

    /// Waits until the port is open.
    func expectOpen() throws {
        let isOpen = comesTrue { status == "0\n" || !program.isRunning }
        try #require(isOpen && status == "0\n", "\(status)\(output)")
    }
}
