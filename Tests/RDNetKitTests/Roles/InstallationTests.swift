import Foundation
import Testing

@testable import RDNetKit

@Suite("installation")
struct InstallationTests {
    private let recorded = RecordedSurroundings()
    private let names = RoleRegistry.standard.roles.map(\.name)

    /// Runs `--install` with a program and an empty directory beside it.
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

    private func install(_ words: String...) -> ExitCode {
        RoleRegistry.standard.run(["rdnet", "--install"] + words, recorded.surroundings)
    }

    @Test func `makes a hard link for each role, and again does no harm`() throws {
        try withDirectory { directory, program in
            #expect(install(directory) == .success)
            #expect(install(directory) == .success)
            for name in names {
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
            #expect(install("-s", directory) == .success)
            for name in names {
                let target = try FileManager.default.destinationOfSymbolicLink(
                    atPath: "\(directory)/\(name)"
                )
                #expect(target == program)
            }
        }
    }

    @Test func `says one sentence for each name that is taken, and makes the others`() throws {
        try withDirectory { directory, program in
            let taken = "\(directory)/vm-switch"
            try Data("other".utf8).write(to: URL(fileURLWithPath: taken))
            #expect(install(directory) == .failure)
            #expect(recorded.error == "rdnet: link \(taken): File exists\n")
            #expect(!FileLink.areSame(taken, program))
            #expect(FileLink.areSame("\(directory)/up", program))
        }
    }

    @Test func `says one sentence a name when the directory is not there`() {
        #expect(install("/nonexistent-rdnet") == .failure)
        #expect(recorded.error.split(separator: "\n").count == names.count)
    }

    @Test(
        "wants exactly one directory",
        arguments: [[], ["-s"], ["a", "b"], [""], ["-x"], ["-s", "a", "b"]]
    )
    func misuse(words: [String]) {
        let arguments = ["rdnet", "--install"] + words
        #expect(RoleRegistry.standard.run(arguments, recorded.surroundings) == .misuse)
        #expect(recorded.error == "rdnet: --install needs one directory: [-s] DIRECTORY\n")
    }
}
