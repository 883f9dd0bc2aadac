/// A regular expression for names: the syntax of RE2 over ASCII, upper and lower case alike (RFC 4343).
///
/// How it works: the text becomes a program of a few kinds of instruction (Thompson's construction); matching runs all of the
/// program's ways at once, one octet after the other, so it takes at most octets × instructions steps whatever
/// the expression is. What a match consists of is not asked for, so groups do not capture and lazy repetitions
/// are like others.
///
/// Beyond it are Unicode's classes (`\pL`); names are ASCII, so what stands for other characters matches nothing.
struct NamePattern: Sendable {
    /// Octets of an expression's text.
    static let longestText = 1_024
    /// Instructions of one expression.
    static let mostInstructions = 2_048

    fileprivate enum Instruction: Sendable {
        /// Takes one octet of a set; the next instruction follows.
        case take(OctetSet)
        /// Takes nothing; the next instruction follows where it holds.
        case check(Assertion)
        /// Goes on at both places.
        case split(Int, Int)
        case jump(Int)
        case match
    }

    /// What holds between two octets.
    enum Assertion: Sendable {
        case start
        case end
        case wordBoundary
        case noWordBoundary
    }

    /// The expression as it was written.
    let text: String
    fileprivate let instructions: [Instruction]

    /// Understands an expression.
    ///
    /// - Parameter text: In RE2's syntax.
    /// - Throws: `NamePatternError` with the words of Go's `regexp` package.
    init(_ text: String) throws(NamePatternError) {
        self.text = text
        guard text.utf8.count <= Self.longestText else {
            throw NamePatternError(.tooLarge, String(text.prefix(64)) + "...")
        }
        var assembly = Assembly(text)
        try assembly.emit(try NamePatternParser.parse(text))
        assembly.instructions.append(.match)
        instructions = assembly.instructions
    }

    /// What one octet of a name costs at most, in steps.
    var cost: Int { instructions.count }

    /// Whether the expression matches somewhere in a name.
    ///
    /// Octets beyond ASCII match only what is negated, and the point.
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

/// What an expression consists of.
indirect enum NamePatternNode {
    case nothing
    case set(OctetSet)
    case check(NamePattern.Assertion)
    case sequence([NamePatternNode])
    case choice([NamePatternNode])
    case repetition(NamePatternNode, least: Int, most: Int?)
}

/// Instructions on their way to a program.
private struct Assembly {
    private let text: String
    var instructions: [NamePattern.Instruction] = []
    /// Repetitions of nothing make no instructions, and still may not go on for ever.
    private var steps = 0

    init(_ text: String) {
        self.text = text
    }

    mutating func emit(_ node: NamePatternNode) throws(NamePatternError) {
        steps += 1
        guard instructions.count < NamePattern.mostInstructions,
            steps < 4 * NamePattern.mostInstructions
        else { throw NamePatternError(.tooLarge, text) }
        switch node {
        case .nothing: break
        case .set(let set): instructions.append(.take(set))
        case .check(let assertion): instructions.append(.check(assertion))
        case .sequence(let nodes): for node in nodes { try emit(node) }
        case .choice(let nodes): try emitChoice(nodes[...])
        case .repetition(let node, let least, let most):
            for _ in 0..<least { try emit(node) }
            guard let most else { return try emitLoop(node) }
            try emitOptional(node, most - least)
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

/// The places in a program that are reached, at one place in a name.
private struct States {
    private let instructions: [NamePattern.Instruction]
    /// Instructions that take the next octet.
    private var waiting: [Int] = []
    /// Where the last octet led.
    private var reached: [Int] = []
    /// The number of the place in the name at which each instruction was visited last.
    private var visits: [Int]
    private var place = 0

    init(_ pattern: NamePattern) {
        instructions = pattern.instructions
        visits = [Int](repeating: 0, count: instructions.count)
    }

    /// Follows everything that takes no octet, from where the last one led and from the program's start.
    ///
    /// - Parameters:
    ///   - last: The octet before this place; nil at the start.
    ///   - next: The octet behind it; nil at the end.
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

    /// Takes the octet that was `next`.
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
