/// Parses a regular expression in RE2's syntax (https://github.com/google/re2/wiki/Syntax).
struct NamePatternParser {
    /// Limit on the nesting of groups.
    static let maximumDepth = 250
    /// Limit on a repetition count.
    private static let maximumRepetitions = 1_000

    private let text: String
    private let scalars: [Unicode.Scalar]
    private var position = 0
    private var depth = 0

    private init(_ text: String) {
        self.text = text
        scalars = Array(text.unicodeScalars)
    }

    /// Parses a complete expression.
    static func parse(_ text: String) throws(NamePatternError) -> NamePatternNode {
        var parser = NamePatternParser(text)
        let node = try parser.choice()
        guard parser.peek == nil else { throw NamePatternError(.unexpectedParenthesis, text) }
        return node
    }

    // MARK: Octets

    private var peek: Unicode.Scalar? {
        position < scalars.count ? scalars[position] : nil
    }

    /// Consumes a text if it comes next.
    private mutating func skip(_ word: String) -> Bool {
        guard scalars[position...].starts(with: word.unicodeScalars) else { return false }
        position += word.unicodeScalars.count
        return true
    }

    /// The text from a position to the current one.
    private func part(from start: Int) -> String {
        String(String.UnicodeScalarView(scalars[start..<position]))
    }

    private func error(
        _ reason: NamePatternError.Reason,
        from start: Int
    ) -> NamePatternError {
        NamePatternError(reason, part(from: start))
    }

    // MARK: Structure

    private mutating func choice() throws(NamePatternError) -> NamePatternNode {
        var nodes = [try sequence()]
        while skip("|") { nodes.append(try sequence()) }
        return nodes.count == 1 ? nodes[0] : .choice(nodes)
    }

    private mutating func sequence() throws(NamePatternError) -> NamePatternNode {
        var nodes: [NamePatternNode] = []
        while let next = peek, next != "|", next != ")" { nodes.append(try repeated()) }
        return nodes.count == 1 ? nodes[0] : .sequence(nodes)
    }

    private mutating func repeated() throws(NamePatternError) -> NamePatternNode {
        let start = position
        if try repetition() != nil { throw error(.missingArgument, from: start) }
        let node = try atom()
        let firstOperator = position
        guard let (minimum, maximum) = try repetition() else { return node }
        // Laziness does not affect whether a name matches.
        _ = skip("?")
        if try repetition() != nil { throw error(.badRepetition, from: firstOperator) }
        return .repetition(node, minimum: minimum, maximum: maximum)
    }

    /// The range of `*`, `+`, `?` or `{n,m}`; nil if something else comes next.
    private mutating func repetition() throws(NamePatternError) -> (minimum: Int, maximum: Int?)? {
        if skip("*") { return (0, nil) }
        if skip("+") { return (1, nil) }
        if skip("?") { return (0, 1) }
        let start = position
        guard skip("{"), let minimum = number() else { return giveUp(start) }
        var maximum: Int? = minimum
        if skip(",") { maximum = number() }
        // Any other text in braces is literal.
        guard skip("}") else { return giveUp(start) }
        guard max(minimum, maximum ?? 0) <= Self.maximumRepetitions, minimum <= maximum ?? minimum
        else {
            throw error(.badCount, from: start)
        }
        return (minimum, maximum)
    }

    private mutating func giveUp(_ start: Int) -> (minimum: Int, maximum: Int?)? {
        position = start
        return nil
    }

    /// The next decimal number, saturated so that a huge one stays too large.
    private mutating func number() -> Int? {
        var value: Int?
        while let digit = peek, ("0"..."9").contains(digit) {
            value = min((value ?? 0) * 10 + Int(digit.value - 0x30), 1_000_000)
            position += 1
        }
        return value
    }

    private mutating func atom() throws(NamePatternError) -> NamePatternNode {
        let next = scalars[position]
        switch next {
        case "(": return try group()
        case "[": return .set(try bracketed())
        case "\\": return try escape()
        default: position += 1
        }
        switch next {
        case "^": return .check(.start)
        case "$": return .check(.end)
        case ".": return .set(.all)
        default: return .set(OctetSet(next...next))
        }
    }

    private mutating func group() throws(NamePatternError) -> NamePatternNode {
        depth += 1
        defer { depth -= 1 }
        guard depth <= Self.maximumDepth else { throw NamePatternError(.tooDeep, text) }
        position += 1
        if skip("?"), try !skipGroupKind(from: position - 2) { return .nothing }
        let node = try choice()
        guard skip(")") else { throw NamePatternError(.missingParenthesis, text) }
        return node
    }

    /// Consumes the flags or name between `(?` and the group's content.
    ///
    /// - Returns: False if the group has no content and only sets flags.
    private mutating func skipGroupKind(from start: Int) throws(NamePatternError) -> Bool {
        if skip("P<") || skip("<") {
            while let next = peek, Self.isWord(next) { position += 1 }
            let isNamed = scalars[position - 1] != "<"
            guard isNamed, skip(">") else {
                while peek != nil, !skip(">") { position += 1 }
                throw error(.badGroupName, from: start)
            }
            return true
        }
        // No flag matters for names: case is ignored, there are no lines, lazy equals greedy.
        while let next = peek {
            position += 1
            switch next {
            case ":": return true
            case ")": return false
            case "i", "m", "s", "U", "-": continue
            default: throw error(.badGroup, from: start)
            }
        }
        throw NamePatternError(.missingParenthesis, text)
    }

    private static func isWord(_ scalar: Unicode.Scalar) -> Bool {
        scalar.isASCII && OctetSet.word.contains(UInt8(ascii: scalar))
    }

    // MARK: Escapes

    private mutating func escape() throws(NamePatternError) -> NamePatternNode {
        let start = position
        position += 1
        if skip("Q") { return quotation() }
        if skip("A") { return .check(.start) }
        if skip("z") { return .check(.end) }
        if skip("b") { return .check(.wordBoundary) }
        if skip("B") { return .check(.noWordBoundary) }
        position = start
        if let set = try escapedClass() { return .set(set) }
        let scalar = try escapedScalar()
        return .set(OctetSet(scalar...scalar))
    }

    private mutating func quotation() -> NamePatternNode {
        var nodes: [NamePatternNode] = []
        while let next = peek, !skip("\\E") {
            position += 1
            nodes.append(.set(OctetSet(next...next)))
        }
        return .sequence(nodes)
    }

    /// `\d`, `\s`, `\w` and their negations; nil if something else comes next.
    private mutating func escapedClass() throws(NamePatternError) -> OctetSet? {
        let start = position
        if skip("\\d") { return .digit }
        if skip("\\D") { return OctetSet.digit.inverted }
        if skip("\\s") { return .space }
        if skip("\\S") { return OctetSet.space.inverted }
        if skip("\\w") { return .word }
        if skip("\\W") { return OctetSet.word.inverted }
        guard skip("\\p") || skip("\\P") else { return nil }
        if skip("{") {
            while peek != nil, !skip("}") { position += 1 }
        } else if peek != nil {
            position += 1
        }
        throw error(.unicodeClass, from: start)
    }

    /// The character that an escape sequence denotes.
    private mutating func escapedScalar() throws(NamePatternError) -> Unicode.Scalar {
        let start = position
        position += 1
        guard let next = peek else { throw NamePatternError(.trailingBackslash, "") }
        position += 1
        switch next {
        case "a": return "\u{7}"
        case "f": return "\u{c}"
        case "n": return "\n"
        case "r": return "\r"
        case "t": return "\t"
        case "v": return "\u{b}"
        case "x": return try hexadecimal(from: start)
        case "0"..."7":
            // A single digit would be a back reference.
            let hasSecond = peek.map { ("0"..."7").contains($0) } ?? false
            guard next == "0" || hasSecond else { throw error(.badEscape, from: start) }
            position -= 1
            return try scalar(digits(radix: 8, atMost: 3), from: start)
        case _ where next.isASCII && !(Self.isWord(next) && next != "_"): return next
        default: throw error(.badEscape, from: start)
        }
    }

    private mutating func hexadecimal(from start: Int) throws(NamePatternError) -> Unicode.Scalar {
        if skip("{") {
            let value = digits(radix: 16, atMost: 8)
            guard skip("}") else { throw error(.badEscape, from: start) }
            return try scalar(value, from: start)
        }
        let first = position
        let value = digits(radix: 16, atMost: 2)
        guard position == first + 2 else { throw error(.badEscape, from: start) }
        return try scalar(value, from: start)
    }

    private mutating func digits(radix: UInt32, atMost limit: Int) -> UInt32? {
        var value: UInt32?
        for _ in 0..<limit {
            guard let digit = peek.flatMap({ Character($0).hexDigitValue }), digit < radix else {
                break
            }
            value = (value ?? 0) &* radix &+ UInt32(digit)
            position += 1
        }
        return value
    }

    private func scalar(
        _ value: UInt32?,
        from start: Int
    ) throws(NamePatternError) -> Unicode.Scalar {
        guard let scalar = value.flatMap({ Unicode.Scalar($0) }) else {
            throw error(.badEscape, from: start)
        }
        return scalar
    }

    // MARK: Classes

    private mutating func bracketed() throws(NamePatternError) -> OctetSet {
        let start = position
        position += 1
        let isInverted = skip("^")
        var set = OctetSet()
        var isFirst = true
        while isFirst || peek != "]" {
            guard peek != nil else { throw error(.missingBracket, from: start) }
            isFirst = false
            try insertItem(into: &set, from: start)
        }
        position += 1
        return isInverted ? set.inverted : set
    }

    private mutating func insertItem(
        into set: inout OctetSet,
        from start: Int
    ) throws(NamePatternError) {
        if let named = try namedClass() { return set.formUnion(named) }
        if let escaped = try escapedClass() { return set.formUnion(escaped) }
        let first = position
        let low = try classScalar(from: start)
        guard skip("-") else { return set.insert(low...low) }
        // A hyphen before the closing bracket is literal.
        if peek == "]" {
            position -= 1
            return set.insert(low...low)
        }
        let high = try classScalar(from: start)
        guard low <= high else { throw error(.badClass, from: first) }
        set.insert(low...high)
    }

    private mutating func classScalar(from start: Int) throws(NamePatternError) -> Unicode.Scalar {
        guard let next = peek else { throw error(.missingBracket, from: start) }
        if next == "\\" { return try escapedScalar() }
        position += 1
        return next
    }

    /// `[:alpha:]` and its siblings; nil if something else comes next.
    private mutating func namedClass() throws(NamePatternError) -> OctetSet? {
        let start = position
        guard skip("[:") else { return nil }
        let isInverted = skip("^")
        let first = position
        while let next = peek, next != ":", next != "]" { position += 1 }
        let name = part(from: first)
        guard skip(":]") else {
            position = start
            return nil
        }
        guard let set = OctetSet.named[name] else { throw error(.badClass, from: start) }
        return isInverted ? set.inverted : set
    }
}
