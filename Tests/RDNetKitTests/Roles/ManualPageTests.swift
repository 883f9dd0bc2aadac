import Foundation
import Testing

@testable import RDNetKit

@Suite("manual pages")
struct ManualPageTests {
    private static let directory = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("man")

    /// The pages with generated lists.
    private static let names =
        ["rdnet.8", "rdnet.conf.5"] + RoleRegistry.standard.roles.map { "rdnet-\($0.name).8" }
    /// The pages without generated lists.
    private static let articles = ["internals", "news", "performance", "security"].map {
        "rdnet-\($0).7"
    }

    private func page(_ name: String) throws -> String {
        try String(contentsOf: Self.directory.appendingPathComponent(name), encoding: .utf8)
    }

    @Test("a page's lists are what make man makes of the program's values", arguments: names)
    func listsAreUpToDate(name: String) throws {
        let page = try page(name)
        #expect(ManualPage(registry: .standard).renewed(page) == page)
        #expect(page.contains(".\\\" rdnet: end"))
    }

    @Test(
        "a role's page has its options, its sections and nothing left to do",
        arguments: RoleRegistry.standard.roles.map(\.name)
    )
    func sections(role: String) throws {
        let page = try page("rdnet-\(role).8")
        for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "FILES", "EXIT STATUS"] {
            #expect(page.contains("\n.Sh \(section)\n"))
        }
        #expect(page.contains("\n.Sh EXAMPLES\n") && page.contains("\n.Sh LIMITATIONS\n"))
        #expect(page.contains(".\\\" rdnet: options of \(role)\n.Bl -tag"))
    }

    @Test func `there is no page without a role`() throws {
        let files = try FileManager.default.contentsOfDirectory(atPath: Self.directory.path)
        #expect(Set(files) == Set(Self.names + Self.articles + ["rdnet-policy.5"]))
    }

    @Test func `what stands between the comment lines is replaced, the rest is kept`() {
        let page = """
            .Sh OPTIONS
            .\\" rdnet: options of up
            old
            .\\" rdnet: end
            .Sh FILES
            .\\" rdnet: options of nobody
            kept
            """
        let renewed = ManualPage(registry: .standard).renewed(page)
        #expect(!renewed.contains("\nold\n"))
        #expect(renewed.contains("\n.It Fl Fl capture Ar FILE\n"))
        #expect(renewed.hasPrefix(".Sh OPTIONS\n.\\\" rdnet: options of up\n.Bl -tag"))
        #expect(renewed.hasSuffix("\n.Sh FILES\n.\\\" rdnet: options of nobody\nkept"))
        #expect(ManualPage(registry: .standard).renewed(renewed) == renewed)
    }

    @Test(
        "text is safe in markup, each sentence on a line of its own",
        arguments: [
            ("One. Two.", "One.\nTwo.\n"),
            ("Port 1.2 and so on.", "Port 1.2 and so on.\n"),
            (".x and 'y'", "\\&.x and 'y'\n"),
            ("'y'", "\\&'y'\n"),
            ("a-b\\c", "a\\-b\\ec\n"),
        ]
    )
    func sentences(text: String, expected: String) {
        #expect(ManualMarkup.sentences(text) == expected)
    }

    @Test func `--man prints a page anew`() {
        let recorded = RecordedSurroundings()
        recorded.files["p"] = ".\\\" rdnet: roles\n.\\\" rdnet: end\n"
        let registry = RoleRegistry.standard
        #expect(registry.run(["rdnet", "--man", "p"], recorded.surroundings) == .success)
        #expect(recorded.output.contains("\n.It Ic vm\\-switch\n"))
        #expect(registry.run(["rdnet", "--man", "q"], recorded.surroundings) == .failure)
        #expect(registry.run(["rdnet", "--man"], recorded.surroundings) == .misuse)
    }
}
