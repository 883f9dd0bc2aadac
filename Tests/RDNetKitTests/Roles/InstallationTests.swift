import Foundation
import Testing

@testable import RDNetKit

@Suite("installation")
struct InstallationTests {
    private let recorded = RecordedSurroundings()
    private let names = RoleRegistry.standard.roles.map(\.name)
    private var usualNames: [String] { names.filter { !["up", "ctl", "extcap"].contains($0) } }

    /// Calls `body` with an empty directory and a program next to it, the target of `--install`.
    private func withDirectory(_ body: (_ directory: String, _ program: String) throws -> Void)
        throws
    {
        let root = NSTemporaryDirectory() + "/rdnet-install-\(UUID().uuidString)"
        let directory = root + "/bin"
        try FileManager.default.createDirectory(
            atPath: directory,
            withIntermediateDirectories: true
        )
        defer { unlinkTree(root) }
        let program = root + "/rdnet"
        try Data("program".utf8).write(to: URL(fileURLWithPath: program))
        recorded.executable = program
        try body(directory, program)
    }

    private func unlinkTree(_ path: String) {
        do {
            try FileManager.default.removeItem(atPath: path)
        } catch {
            Issue.record("\(path) is left behind: \(error)")
        }
    }

    private func install(_ words: [String]) -> ExitCode {
        RoleRegistry.standard.run(["rdnet", "--install"] + words, recorded.surroundings)
    }

    @Test func `makes a hard link for each role, and again does no harm`() throws {
        try withDirectory { directory, program in
            #expect(install([directory]) == .success)
            #expect(install([directory]) == .success)
            for name in usualNames {
                let path = "\(directory)/\(name)"
                #expect(FileLink.areSame(path, program))
                let kind = try FileManager.default.attributesOfItem(atPath: path)[.type]
                #expect(kind as? FileAttributeType == .typeRegular)
            }
            #expect(recorded.error.isEmpty)
        }
    }

    @Test func `makes symbolic links when asked to`() throws {
        try withDirectory { directory, program in
            #expect(install(["-s", directory]) == .success)
            for name in usualNames {
                let target = try FileManager.default.destinationOfSymbolicLink(
                    atPath: "\(directory)/\(name)"
                )
                #expect(target == program)
            }
        }
    }

    @Test("replaces other files and reports them", arguments: [[], ["-s"]])
    func replacesOtherFiles(options: [String]) throws {
        try withDirectory { directory, program in
            let file = "\(directory)/vm-switch"
            try Data("other".utf8).write(to: URL(fileURLWithPath: file))
            let link = "\(directory)/gvproxy"
            try FileManager.default.createSymbolicLink(
                atPath: link,
                withDestinationPath: "/nonexistent-rdnet"
            )
            #expect(install(options + [directory]) == .success)
            #expect(
                recorded.output
                    == [file, link].map { "\($0): replaced; it was another file\n" }
                    .joined()
            )
            #expect(FileLink.areSame(file, program))
            #expect(FileLink.areSame(link, program))
            // No temporary file is left.
            let present = try FileManager.default.contentsOfDirectory(atPath: directory)
            #expect(Set(present) == Set(usualNames))
        }
    }

    @Test func `after an upgrade the names mean the new file`() throws {
        try withDirectory { directory, program in
            #expect(install([directory]) == .success)
            try FileManager.default.removeItem(atPath: program)
            try Data("newer".utf8).write(to: URL(fileURLWithPath: program))
            #expect(install([directory]) == .success)
            for name in usualNames { #expect(FileLink.areSame("\(directory)/\(name)", program)) }
            #expect(recorded.output.split(separator: "\n").count == usualNames.count)
        }
    }

    @Test func `never replaces a directory, and makes the other names`() throws {
        try withDirectory { directory, program in
            let taken = "\(directory)/vm-switch"
            try FileManager.default.createDirectory(
                atPath: taken,
                withIntermediateDirectories: false
            )
            #expect(install([directory]) == .failure)
            #expect(recorded.error == "rdnet: link \(taken): Is a directory\n")
            #expect(FileLink.areSame("\(directory)/gvproxy", program))
        }
    }

    @Test func `makes the names that are common words only when asked to`() throws {
        try withDirectory { directory, program in
            #expect(install([directory]) == .success)
            #expect(!FileManager.default.fileExists(atPath: "\(directory)/up"))
            #expect(install(["-a", directory]) == .success)
            for name in names { #expect(FileLink.areSame("\(directory)/\(name)", program)) }
        }
    }

    @Test func `says one sentence a name when the directory is not there`() {
        #expect(install(["/nonexistent-rdnet"]) == .failure)
        #expect(recorded.error.split(separator: "\n").count == usualNames.count)
    }

    @Test(
        "wants exactly one directory",
        arguments: [[], ["-s"], ["a", "b"], [""], ["-x"], ["-s", "a", "b"], ["-a"]]
    )
    func misuse(words: [String]) {
        let arguments = ["rdnet", "--install"] + words
        #expect(RoleRegistry.standard.run(arguments, recorded.surroundings) == .misuse)
        #expect(recorded.error == "rdnet: --install needs one directory: [-a] [-s] DIRECTORY\n")
    }
}
