import Testing

@testable import RDNetKit

@Suite("argument grammar")
struct ArgumentGrammarTests {
    private static let forms = [
        OptionForm(name: "debug", isBoolean: true, expected: "true or false"),
        OptionForm(name: "subnet", isBoolean: false, expected: "a network"),
    ]

    private func parse(_ arguments: [String]) throws(ConfigurationError) -> ParsedArguments {
        try ArgumentGrammar.parse(arguments, Self.forms) { option, text in
            option != 0 || GoSyntax.boolean(text) != nil
        }
    }

    struct Row: Sendable {
        var arguments: [String]
        /// The options, as `name=value`.
        var given: [String] = []
        var operands: [String] = []
        var asksForHelp = false
    }

    @Test(
        "arguments are taken apart as Go's flag package does it",
        arguments: [
            Row(arguments: []),
            Row(arguments: ["-subnet", "x"], given: ["subnet=x"]),
            Row(arguments: ["--subnet", "x"], given: ["subnet=x"]),
            Row(arguments: ["-subnet=x"], given: ["subnet=x"]),
            Row(arguments: ["--subnet=x=y"], given: ["subnet=x=y"]),
            Row(arguments: ["--subnet="], given: ["subnet="]),
            Row(arguments: ["-subnet", ""], given: ["subnet="]),
            Row(arguments: ["-subnet", "-debug"], given: ["subnet=-debug"]),
            Row(arguments: ["-subnet", "--", "-debug"], given: ["subnet=--", "debug=true"]),
            Row(arguments: ["-debug"], given: ["debug=true"]),
            Row(arguments: ["-debug=false"], given: ["debug=false"]),
            Row(arguments: ["-debug=T"], given: ["debug=T"]),
            Row(
                arguments: ["-debug", "false", "-subnet", "x"],
                given: ["debug=true"],
                operands: ["false", "-subnet", "x"]
            ),
            Row(
                arguments: ["-subnet", "x", "-subnet", "y"],
                given: ["subnet=x", "subnet=y"]
            ),
            Row(
                arguments: ["-debug", "-", "-debug"],
                given: ["debug=true"],
                operands: ["-", "-debug"]
            ),
            Row(arguments: ["--", "-debug"], operands: ["-debug"]),
            Row(arguments: ["-debug", "--"], given: ["debug=true"]),
            Row(arguments: ["", "-debug"], operands: ["", "-debug"]),
            Row(arguments: ["x", "-nonsense"], operands: ["x", "-nonsense"]),
            Row(arguments: ["-h"], asksForHelp: true),
            Row(arguments: ["--help"], asksForHelp: true),
            Row(arguments: ["-help=x", "-nonsense"], asksForHelp: true),
            Row(
                arguments: ["-debug", "-h", "-nonsense"],
                given: ["debug=true"],
                asksForHelp: true
            ),
            Row(arguments: ["-subnet", "-h"], given: ["subnet=-h"]),
            Row(arguments: ["--", "-h"], operands: ["-h"]),
        ]
    )
    func takenApart(row: Row) throws {
        let parsed = try parse(row.arguments)
        let given = parsed.assignments.map { "\(Self.forms[$0.option].name)=\($0.text)" }
        #expect(given == row.given)
        #expect(parsed.operands == row.operands)
        #expect(parsed.asksForHelp == row.asksForHelp)
    }

    @Test(
        "a wrong word is refused, with what was expected",
        arguments: [
            (["---debug"], ConfigurationError.malformedArgument("---debug")),
            (["-=x"], .malformedArgument("-=x")),
            (["--=x"], .malformedArgument("--=x")),
            (["-nonsense", "-h"], .unknownOption("nonsense", nearest: nil)),
            (["-Debug"], .unknownOption("Debug", nearest: "debug")),
            (["--subent=x"], .unknownOption("subent", nearest: "subnet")),
            (["-debug", "-subnet"], .missingValue(option: "subnet", expected: "a network")),
            (
                ["-debug=yes", "-h"],
                .invalidValue(
                    option: "debug",
                    value: "yes",
                    expected: "true or false",
                    source: .argument
                )
            ),
            (
                ["-debug="],
                .invalidValue(
                    option: "debug",
                    value: "",
                    expected: "true or false",
                    source: .argument
                )
            ),
        ]
    )
    func refused(arguments: [String], expected: ConfigurationError) {
        #expect(throws: expected) { try parse(arguments) }
    }

    @Test(
        "where options may be mixed with other words, they are found behind them",
        arguments: [
            Row(arguments: ["x", "-debug", "y"], given: ["debug=true"], operands: ["x", "y"]),
            Row(
                arguments: ["x", "--subnet", "y", "-"],
                given: ["subnet=y"],
                operands: ["x", "-"]
            ),
            Row(arguments: ["x", "--", "-debug"], operands: ["x", "-debug"]),
            Row(arguments: ["x", "-h", "y"], operands: ["x"], asksForHelp: true),
        ]
    )
    func mixed(row: Row) throws {
        let parsed = try ArgumentGrammar.parse(row.arguments, Self.forms, isMixed: true) { _, _ in
            true
        }
        let given = parsed.assignments.map { "\(Self.forms[$0.option].name)=\($0.text)" }
        #expect(given == row.given)
        #expect(parsed.operands == row.operands)
        #expect(parsed.asksForHelp == row.asksForHelp)
    }
}
