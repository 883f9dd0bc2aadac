import Foundation
import Testing

@testable import RDNetKit

@Suite("policy files")
struct PolicyDocumentTests {
    private static let sections = """
        # an agent
        [policy]
        default = ask
        encrypted-hello = allow
        ask-timeout = 60

        [rules]
        allow = tcp api.example.com:443   # its only API
        deny  = metadata
        ask   = public
        """

    @Test func `sections and JSON say the same`() throws {
        let sections = try PolicyDocument(path: "p", text: Self.sections)
        let json = try PolicyDocument(
            path: "p",
            text: """
                {"default": "ask", "encrypted-hello": "allow", "ask-timeout": 60,
                 "rules": ["allow tcp api.example.com:443", "deny metadata", "ask public"]}
                """
        )
        #expect(sections == json)
        #expect(
            sections.rules.map(\.description)
                == ["allow tcp api.example.com:443", "deny metadata", "ask public"]
        )
        #expect(sections.fallback == .ask)
        #expect(sections.patience == 60)
    }

    @Test func `every recipe of the manual is a policy`() throws {
        let page = SourceTree.root.appendingPathComponent("man/rdnet-policy.5")
        let text = try String(contentsOf: page, encoding: .utf8)
            .replacingOccurrences(of: "\\-", with: "-")
        let blocks = text.components(separatedBy: ".Bd -literal -offset indent\n").dropFirst()
            .compactMap { $0.components(separatedBy: "\n.Ed").first }
            .filter { $0.hasPrefix("[") || $0.hasPrefix("{") }
        #expect(blocks.count >= 11)
        for block in blocks {
            let document = try PolicyDocument(path: "recipe", text: block)
            #expect(!document.rules.isEmpty, "\(block)")
        }
    }

    @Test func `lines may end as in Windows`() throws {
        let text = "[policy]\r\ndefault = allow\r\n\r\n[rules]\r\ndeny = evil.example\r\n"
        let document = try PolicyDocument(path: "p", text: text)
        #expect(document.fallback == .allow && document.rules.count == 1)
        let error = #expect(throws: PolicyDocumentError.self) {
            try PolicyDocument(path: "p", text: text + "deny = a..b\r\n")
        }
        #expect(error?.description.hasPrefix("p:6: column 8: \"a..b\"") == true)
    }

    @Test func `an empty file denies everything`() throws {
        #expect(try PolicyDocument(path: "p", text: "") == .offline)
        #expect(try PolicyDocument(path: "p", text: "{}") == .offline)
    }

    @Test(
        "a mistake is reported with its place and what was expected",
        arguments: [
            ("[policy]\ndefault = maybe", "p:2: default: \"maybe\" is not valid; expected allow"),
            ("[policy]\ncolor = red", "p:2: a policy has no key color"),
            ("[policy]\nask-timeout = 0", "p:2: ask-timeout: \"0\" is not valid; expected 1 to"),
            ("[rules]\nallow = tcp", "p:2: column 12: the rule ends here; expected a destination"),
            ("[rules]\n  deny =  a..b", "p:2: column 11: \"a..b\" is not valid"),
            ("[rules]\npermit = any", "p:2: [rules] has no key permit; expected allow, deny"),
            ("[network]\nmtu = 1", "p:1: [network] is not a section of a policy"),
            ("any", "p:1: \"any\" is not valid"),
            ("{\"rules\": [\"allow\"]}", "p: rule 1: column 6: the rule ends here"),
            ("{\"rules\": [1]}", "p: rule 1: expected a string, not a number"),
            ("{\"rules\": {}}", "p: rules: \"object\" is not valid; expected an array"),
            ("{\"rules\": [", "p: unexpected EOF"),
        ]
    )
    func isReportedWithItsPlace(text: String, start: String) {
        let error = #expect(throws: PolicyDocumentError.self) {
            try PolicyDocument(path: "p", text: text)
        }
        #expect(error?.description.hasPrefix(start) == true, "\(error?.description ?? "")")
    }
}
