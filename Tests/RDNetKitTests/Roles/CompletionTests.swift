import Foundation
import Testing

@testable import RDNetKit

@Suite("shell completion")
struct CompletionTests {
    private func script(_ shell: String) -> String {
        let recorded = RecordedSurroundings()
        let status = RoleRegistry.standard.run(
            ["rdnet", "--completion", shell],
            recorded.surroundings
        )
        #expect(status == .success)
        return recorded.output
    }

    /// What bash offers for the last word of a command line.
    private func offers(_ words: String...) throws -> Set<String> {
        let directory = TemporaryDirectory()
        let list = words.map { "'\($0)'" }.joined(separator: " ")
        let path = directory.file("script")
        let text =
            script("bash") + """
                COMP_WORDS=(\(list)); COMP_CWORD=\(words.count - 1); _rdnet
                printf '%s\\n' "${COMPREPLY[@]}"
                """
        try Data(text.utf8).write(to: URL(fileURLWithPath: path))
        let output = Pipe()
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/bash")
        process.arguments = [path]
        process.standardOutput = output
        try process.start()
        let octets = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
        return Set(String(decoding: octets, as: UTF8.self).split(separator: "\n").map(String.init))
    }

    @Test func `bash completes roles, options, commands and no values`() throws {
        #expect(try offers("rdnet", "host") == ["host-switch"])
        #expect(try offers("rdnet", "help", "gvf") == ["gvforwarder"])
        #expect(try offers("rdnet", "up", "--subne") == ["--subnet", "--subnet6"])
        #expect(try offers("/usr/bin/vm-switch", "--li") == ["--link"])
        #expect(try offers("rdnet", "ctl", "fl") == ["flows"])
        #expect(try offers("rdnet", "ctl", "--api", "un") == [])
        #expect(try offers("rdnet", "up", "x") == [])
    }

    @Test("every option of every role is in every script", arguments: ["bash", "zsh", "fish"])
    func everyOption(shell: String) {
        let text = script(shell)
        for role in RoleRegistry.standard.roles {
            #expect(text.contains(role.name))
            for option in role.completion.options {
                let name = String(option.text.drop { $0 == "-" })
                #expect(text.contains(name), "\(role.name) \(option.text)")
            }
        }
    }

    @Test func `another shell is refused`() {
        let recorded = RecordedSurroundings()
        let status = RoleRegistry.standard.run(
            ["rdnet", "--completion", "csh"],
            recorded.surroundings
        )
        #expect(status == .misuse)
        #expect(
            recorded.error
                == "rdnet: --completion: \"csh\" is not valid; expected bash, zsh or fish\n"
        )
    }
}
