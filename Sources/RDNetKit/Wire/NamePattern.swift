/// A case-insensitive regular expression for names: RE2's syntax over ASCII (RFC 4343).
///
/// How it works: the text compiles to a small program (Thompson's construction). Matching follows
/// all paths through it in parallel, byte by byte, so it takes at most bytes × instructions steps
/// for any expression. Only whether a name matches is of interest, so groups do not capture and
/// lazy repetition equals greedy repetition.
///
/// Unicode classes (`\pL`) are not supported; names are ASCII, so other characters match nothing.
struct NamePattern: Sendable {
    /// Limit on an expression's text, in bytes.
    static let maximumLength = 1_024
    /// Limit on an expression's program, in instructions.
    static let maximumInstructions = 2_048

    fileprivate enum Instruction: Sendable {
        /// Consumes one byte of a set and continues at the next instruction.
        case take(OctetSet)
        /// Consumes nothing and continues at the next instruction if the assertion holds.
        case check(Assertion)
        /// Continues at both places.
        case split(Int, Int)
        case jump(Int)
        case match
    }

    /// An assertion about the position between two bytes.
    enum Assertion: Sendable {
        case start
        case end
        case wordBoundary
        case noWordBoundary
    }

    /// The expression as it was written.
    let text: String
    fileprivate let instructions: [Instruction]

    /// Compiles an expression.
    ///
    /// - Parameter text: In RE2's syntax.
    /// - Throws: `NamePatternError` with the words of Go's `regexp` package.
    init(_ text: String) throws(NamePatternError) {
        self.text = text
        guard text.utf8.count <= Self.maximumLength else {
            throw NamePatternError(.tooLarge, String(text.prefix(64)) + "...")
        }
        var assembly = Assembly(text)
        try assembly.emit(try NamePatternParser.parse(text))
        assembly.instructions.append(.match)
        instructions = assembly.instructions
    }

    /// The most steps that one byte of a name takes.
    var cost: Int { instructions.count }

    /// Whether the expression matches somewhere in a name.
    ///
    /// Bytes beyond ASCII match only negated classes and the dot.
    func matches(_ name: some Collection<UInt8>) -> Bool {
        var states = States(self)
        var last: UInt8?
        for octet in name {
            if states.begin(between: last, and: octet) { return true }
            states.take(octet)
            last = octet
        }
        return states.begin(between: last, and: nil)
    }
}

extension NamePattern: Equatable {
    static func == (left: NamePattern, right: NamePattern) -> Bool { left.text == right.text }
}

/// The syntax tree of an expression.
indirect enum NamePatternNode {
    case nothing
    case set(OctetSet)
    case check(NamePattern.Assertion)
    case sequence([NamePatternNode])
    case choice([NamePatternNode])
    case repetition(NamePatternNode, minimum: Int, maximum: Int?)
}

/// A program under construction.
private struct Assembly {
    private let text: String
    var instructions: [NamePattern.Instruction] = []
    /// Bounds repetitions of empty expressions, which emit no instructions.
    private var steps = 0

    init(_ text: String) {
        self.text = text
    }

    mutating func emit(_ node: NamePatternNode) throws(NamePatternError) {
        steps += 1
        guard instructions.count < NamePattern.maximumInstructions,
            steps < 4 * NamePattern.maximumInstructions
        else { throw NamePatternError(.tooLarge, text) }
        switch node {
        case .nothing: break
        case .set(let set): instructions.append(.take(set))
        case .check(let assertion): instructions.append(.check(assertion))
        case .sequence(let nodes): for node in nodes { try emit(node) }
        case .choice(let nodes): try emitChoice(nodes[...])
        case .repetition(let node, let minimum, let maximum):
            for _ in 0..<minimum { try emit(node) }
            guard let maximum else { return try emitLoop(node) }
            try emitOptional(node, maximum - minimum)
        }
    }

    private mutating func emitChoice(
        _ nodes: ArraySlice<NamePatternNode>
    ) throws(NamePatternError) {
        var exits: [Int] = []
        for node in nodes.dropLast() {
            let split = instructions.count
            instructions.append(.jump(0))
            try emit(node)
            exits.append(instructions.count)
            instructions.append(.jump(0))
            instructions[split] = .split(split + 1, instructions.count)
        }
        if let last = nodes.last { try emit(last) }
        for exit in exits { instructions[exit] = .jump(instructions.count) }
    }

    private mutating func emitLoop(_ node: NamePatternNode) throws(NamePatternError) {
        let split = instructions.count
        instructions.append(.jump(0))
        try emit(node)
        instructions.append(.jump(split))
        instructions[split] = .split(split + 1, instructions.count)
    }

    private mutating func emitOptional(
        _ node: NamePatternNode,
        _ count: Int
    ) throws(NamePatternError) {
        var splits: [Int] = []
        for _ in 0..<count {
            splits.append(instructions.count)
            instructions.append(.jump(0))
            try emit(node)
        }
        for split in splits { instructions[split] = .split(split + 1, instructions.count) }
    }
}

/// The program states that are active at one position in a name.
private struct States {
    private let instructions: [NamePattern.Instruction]
    /// Instructions waiting for the next byte.
    private var waiting: [Int] = []
    /// Instructions that the last byte led to.
    private var reached: [Int] = []
    /// For each instruction, the last position in the name at which it was visited.
    private var visits: [Int]
    private var place = 0

    init(_ pattern: NamePattern) {
        instructions = pattern.instructions
        visits = [Int](repeating: 0, count: instructions.count)
    }

    /// Follows all instructions that consume nothing, from the current states and from the start.
    ///
    /// - Parameters:
    ///   - last: The byte before this position; nil at the start.
    ///   - next: The byte after it; nil at the end.
    /// - Returns: Whether the end of the program is reached.
    mutating func begin(between last: UInt8?, and next: UInt8?) -> Bool {
        place += 1
        waiting.removeAll(keepingCapacity: true)
        reached.append(0)
        while let index = reached.popLast() {
            guard visits[index] != place else { continue }
            visits[index] = place
            switch instructions[index] {
            case .take: waiting.append(index)
            case .check(let assertion):
                if assertion.holds(between: last, and: next) { reached.append(index + 1) }
            case .split(let one, let other): reached += [one, other]
            case .jump(let target): reached.append(target)
            case .match: return true
            }
        }
        return false
    }

    /// Consumes the byte that was `next`.
    mutating func take(_ octet: UInt8) {
        for index in waiting {
            if case .take(let set) = instructions[index], set.contains(octet) {
                reached.append(index + 1)
            }
        }
    }
}

extension NamePattern.Assertion {
    fileprivate func holds(between last: UInt8?, and next: UInt8?) -> Bool {
        switch self {
        case .start: last == nil
        case .end: next == nil
        case .wordBoundary: Self.isWord(last) != Self.isWord(next)
        case .noWordBoundary: Self.isWord(last) == Self.isWord(next)
        }
    }

    private static func isWord(_ octet: UInt8?) -> Bool {
        octet.map(OctetSet.word.contains) ?? false
    }
}
