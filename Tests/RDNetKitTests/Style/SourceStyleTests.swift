import Foundation
import Testing

@testable import RDNetKit

/// A pattern that the sources avoid.
struct Habit: CustomTestStringConvertible, Sendable {
    let testDescription: String
    /// A regular expression, matched against a line without its comment.
    let pattern: String
    var inComments = false
    /// Files that may contain the pattern.
    var exceptions: [String] = []

    static let unwanted = [
        Habit(testDescription: "try! and try?", pattern: #"\btry[!?]"#),
        Habit(testDescription: "forced casts", pattern: #"\bas!"#),
        Habit(
            testDescription: "implicitly unwrapped optionals",
            pattern: #":\s*[A-Z][\w.<>\[\]]*!(\s|$|=|\))"#
        ),
        Habit(
            testDescription: "notes about work not done",
            pattern: #"\b(TODO|FIXME|XXX|HACK)\b"#,
            inComments: true
        ),
        Habit(
            testDescription: "print",
            pattern: #"(^|[^\w.])(print|debugPrint|dump)\("#,
            // These files print to whatever stream the caller chose.
            exceptions: ["System/StandardStream.swift", "Guest/ConnectivityReport.swift"]
        ),
        Habit(
            testDescription: "counters outside a MetricGroup, which nobody would see",
            pattern: #"private\(set\) var \w+: UInt64 = 0"#,
            // What `ctl tunnel` relayed decides whether its peer was reachable, `ctl forwards`
            // shows the clients of each forward, and `ctl capture` the size of the file.
            exceptions: [
                "System/StandardStreamRelay.swift", "Forwarding/ForwardUsage.swift",
                "Services/CaptureSwitch.swift",
            ]
        ),
        Habit(testDescription: "concurrency", pattern: #"\b(async|await|Task|DispatchQueue)\b"#),
        Habit(
            testDescription: "names that say nothing",
            pattern:
                #"\b(class|struct|enum|protocol|actor|typealias)\s+\w*(Manager|Helper|Utils?|Impl|Processor)\b"#
        ),
    ]
}

@Suite("source style")
struct SourceStyleTests {
    @Test("the sources do without", arguments: Habit.unwanted)
    func doWithout(habit: Habit) throws {
        let expression = try NSRegularExpression(pattern: habit.pattern)
        for path in try SourceTree.files(in: "Sources")
        where !habit.exceptions.contains(where: path.hasSuffix) {
            for (index, line) in try SourceTree.lines(of: path).enumerated() {
                let text = habit.inComments ? String(line) : code(of: line)
                let range = NSRange(text.startIndex..., in: text)
                let found = expression.firstMatch(in: text, range: range)
                #expect(found == nil, "\(path):\(index + 1): \(line)")
            }
        }
    }

    /// Returns a line without its comment and its quoted strings.
    private func code(of line: Substring) -> String {
        let parts = line.split(separator: "\"", omittingEmptySubsequences: false)
        let unquoted = stride(from: 0, to: parts.count, by: 2).map { parts[$0] }.joined(
            separator: "\""
        )
        guard let comment = unquoted.range(of: "//") else { return unquoted }
        return String(unquoted[..<comment.lowerBound])
    }

    @Test func `no file is longer than 400 lines`() throws {
        for path in try SourceTree.files(in: "Sources") + SourceTree.files(in: "Tests") {
            let count = try SourceTree.lines(of: path).count - 1
            #expect(count <= 400, "\(path): \(count) lines")
        }
    }

    @Test func `a file's name is its own`() throws {
        for folder in ["Sources/RDNetKit", "Tests/RDNetKitTests"] {
            let names = try SourceTree.files(in: folder).map { $0.split(separator: "/").last }
            #expect(names.count == Set(names).count)
        }
    }
}
