/// A strict parser of Prometheus' text format, version 0.0.4, and of its naming rules.
///
/// Beyond the format it requires a HELP and then a TYPE line for each family, its samples directly
/// below them, and `_total` at the end of exactly the counters' names.
struct PrometheusText {
    struct Fault: Error, CustomStringConvertible {
        let line: Int
        let description: String
    }

    struct Sample {
        let labels: [(name: String, value: String)]
        let value: UInt64
    }

    struct Family {
        let name: String
        let help: String
        let type: String
        var samples: [Sample] = []
    }

    private var families: [Family] = []
    private var help: (name: String, text: String)?
    private var number = 0

    static func parse(_ text: String) throws -> [Family] {
        var parser = PrometheusText()
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        guard lines.popLast() == "" else { throw parser.fault("the last line has no end") }
        for line in lines { try parser.read(line) }
        try parser.endFamily()
        return parser.families
    }

    private func fault(_ description: String) -> Fault {
        Fault(line: number, description: description)
    }

    private mutating func read(_ line: Substring) throws {
        number += 1
        if line.hasPrefix("# HELP ") {
            try endFamily()
            let words = line.dropFirst(7).split(separator: " ", maxSplits: 1)
            guard words.count == 2 else { throw fault("no text") }
            help = (String(words[0]), try unescape(words[1], ["\\": "\\", "n": "\n"]))
        } else if line.hasPrefix("# TYPE ") {
            try beginFamily(
                line.dropFirst(7).split(separator: " ", omittingEmptySubsequences: false)
            )
        } else {
            try readSample(line)
        }
    }

    private func endFamily() throws {
        guard help == nil else { throw fault("HELP without TYPE") }
        guard families.last?.samples.isEmpty != true else { throw fault("family without samples") }
    }

    private mutating func beginFamily(_ words: [Substring]) throws {
        guard let help, words.count == 2, words[0] == help.name else {
            throw fault("TYPE without its HELP")
        }
        let name = help.name
        guard isName(name[...], colons: true) else { throw fault("not a name: \(name)") }
        guard !families.contains(where: { $0.name == name }) else { throw fault("\(name) again") }
        guard words[1] == "counter" || words[1] == "gauge" else { throw fault("unknown type") }
        guard (words[1] == "counter") == name.hasSuffix("_total") else { throw fault("_total") }
        families.append(Family(name: name, help: help.text, type: String(words[1])))
        self.help = nil
    }

    private mutating func readSample(_ line: Substring) throws {
        guard help == nil, let family = families.last, line.hasPrefix(family.name) else {
            throw fault("sample of another family")
        }
        var rest = line.dropFirst(family.name.count)
        let labels = rest.first == "{" ? try readLabels(&rest) : []
        // Only the processor time has a fraction.
        guard rest.popFirst() == " ", let value = UInt64(rest.prefix { $0 != "." }) else {
            throw fault("no value")
        }
        let isNew = family.samples.allSatisfy { other in
            !other.labels.elementsEqual(labels) { $0 == $1 }
        }
        guard isNew else { throw fault("sample again") }
        families[families.count - 1].samples.append(Sample(labels: labels, value: value))
    }

    private func readLabels(_ rest: inout Substring) throws -> [(name: String, value: String)] {
        var labels: [(name: String, value: String)] = []
        repeat {
            rest.removeFirst()
            let name = rest.prefix { $0 != "=" }
            guard isName(name, colons: false), !name.hasPrefix("__") else {
                throw fault("not a label: \(name)")
            }
            guard !labels.contains(where: { $0.name == name }) else { throw fault("label again") }
            rest = rest.dropFirst(name.count)
            guard rest.hasPrefix("=\"") else { throw fault("value without quotes") }
            rest = rest.dropFirst(2)
            var end = rest.startIndex
            while end < rest.endIndex, rest[end] != "\"" {
                if rest[end] == "\\" { rest.formIndex(after: &end) }
                if end < rest.endIndex { rest.formIndex(after: &end) }
            }
            guard end < rest.endIndex else { throw fault("quote without end") }
            let escapes: [Character: Character] = ["\\": "\\", "n": "\n", "\"": "\""]
            labels.append((String(name), try unescape(rest[..<end], escapes)))
            rest = rest[end...].dropFirst()
        } while rest.first == ","
        guard rest.popFirst() == "}" else { throw fault("labels without end") }
        return labels
    }

    private func isName(_ text: Substring, colons: Bool) -> Bool {
        guard let first = text.first, !first.isNumber else { return false }
        return text.allSatisfy { letter in
            letter.isASCII
                && (letter.isLetter || letter.isNumber || letter == "_" || colons && letter == ":")
        }
    }

    private func unescape(_ text: Substring, _ escapes: [Character: Character]) throws -> String {
        var output = ""
        var rest = text
        while let letter = rest.popFirst() {
            guard letter == "\\" else {
                output.append(letter)
                continue
            }
            guard let escaped = rest.popFirst().flatMap({ escapes[$0] }) else {
                throw fault("unknown escape")
            }
            output.append(escaped)
        }
        return output
    }
}
