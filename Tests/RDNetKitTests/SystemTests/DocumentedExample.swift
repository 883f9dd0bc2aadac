import Foundation
import Testing

@testable import RDNetKit

/// Consecutive commands that README or a manual page shows, with the output shown below them.
struct DocumentedExample: Sendable, CustomTestStringConvertible {
    /// The file's name, such as `rdnet-up.8`.
    let page: String
    /// One command per element, continuation lines joined.
    var commands: [String] = []
    /// The output that the page shows; empty if it shows none.
    var output: [String] = []

    var testDescription: String { "\(page): \(commands.first ?? "")" }

    /// Every example of README and the manual.
    static let all: [DocumentedExample] = {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        func text(_ path: String) -> String {
            (FileManager.default.contents(atPath: root.appendingPathComponent(path).path))
                .map { String(decoding: $0, as: UTF8.self) } ?? ""
        }
        let pages = RoleRegistry.standard.roles.map { "rdnet-\($0.name).8" }
        let manual = ["rdnet.8", "rdnet.conf.5", "rdnet-policy.5", "rdnet-performance.7"] + pages
        return inMarkdown(text("README.md"), page: "README.md")
            + manual.flatMap { inManual(text("man/\($0)"), page: $0) }
    }()

    /// The lines of each `sh` block; a comment at the end of a line is for people.
    private static func inMarkdown(_ text: String, page: String) -> [DocumentedExample] {
        text.components(separatedBy: "```sh\n").dropFirst().map { rest in
            let block = rest.components(separatedBy: "\n```")[0]
            var example = DocumentedExample(page: page)
            for line in block.split(separator: "\n") {
                let command = line.components(separatedBy: "  #")[0]
                example.commands.append(command.trimmingCharacters(in: .whitespaces))
            }
            return example
        }
    }

    /// The `$ ` and `# ` lines of each literal block or one-line display.
    private static func inManual(_ text: String, page: String) -> [DocumentedExample] {
        var examples: [DocumentedExample] = []
        var block: DocumentedExample?
        for line in text.components(separatedBy: "\n") {
            if line.hasPrefix(".Bd -literal") {
                block = DocumentedExample(page: page)
            } else if line == ".Ed" {
                if let block, !block.commands.isEmpty { examples.append(block) }
                block = nil
            } else if line.hasPrefix(".Dl ") {
                var single = DocumentedExample(page: page)
                single.add(plain(String(line.dropFirst(4))))
                if !single.commands.isEmpty { examples.append(single) }
            } else {
                block?.add(plain(line))
            }
        }
        return examples
    }

    private mutating func add(_ line: String) {
        if let last = commands.last, last.hasSuffix("\\") || last.hasSuffix("|") {
            let start = last.hasSuffix("\\") ? String(last.dropLast()) : last + " "
            commands[commands.count - 1] = start + line.trimmingCharacters(in: .whitespaces)
        } else if line.hasPrefix("$ ") || line.hasPrefix("# ") {
            commands.append(String(line.dropFirst(2)))
        } else if !commands.isEmpty {
            output.append(line)
        }
    }

    /// Text without mdoc(7)'s escapes.
    private static func plain(_ line: String) -> String {
        line.replacingOccurrences(of: "\\-", with: "-")
            .replacingOccurrences(of: "\\(aq", with: "'")
            .replacingOccurrences(of: "\\e", with: "\\")
    }
}
