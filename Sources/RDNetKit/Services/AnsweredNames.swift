/// The names that guests have resolved, by address: what people know a destination by.
///
/// The latest name of an address counts. When the table is full, the address that was first
/// answered longest ago is forgotten.
struct AnsweredNames {
    /// Limit on addresses.
    static let capacity = 4_096

    private var names: [IPAddress: DNSName] = [:]
    /// The addresses in the order of their first answer; those before `oldest` are forgotten.
    private var order: [IPAddress] = []
    private var oldest = 0
    /// Called for each new name of an address.
    var noted: (IPAddress, String) -> Void = { _, _ in }

    /// The name of an address; nil if no guest has resolved one to it.
    func name(of address: IPAddress) -> String? {
        names[address].map(Self.text)
    }

    /// Every address with its name.
    var all: [(address: IPAddress, name: String)] { names.map { ($0, Self.text(of: $1)) } }

    private static func text(of name: DNSName) -> String {
        let text = name.description
        return text.hasSuffix(".") ? String(text.dropLast()) : text
    }

    /// Remembers an answer.
    mutating func note(_ address: IPAddress, _ name: DNSName) {
        let previous = names.updateValue(name, forKey: address)
        if previous != name { noted(address, Self.text(of: name)) }
        if previous != nil { return }
        order.append(address)
        guard names.count > Self.capacity else { return }
        names[order[oldest]] = nil
        oldest += 1
        // The consumed front is as long as the rest, so removing it costs a constant per answer.
        if oldest >= Self.capacity {
            order.removeFirst(oldest)
            oldest = 0
        }
    }

    /// Remembers the addresses in a resolver's answer.
    ///
    /// - Parameters:
    ///   - answer: The message; one that cannot be read has no addresses.
    ///   - question: What it answers.
    mutating func note(_ answer: [UInt8], to question: DNSQuestion) {
        guard question.type == .a || question.type == .aaaa else { return }
        let message = answer.span.bytes
        do {
            for record in try DNSResourceRecord.records(in: message)
            where record.section == .answer {
                if let address = record.address(in: message) { note(address, question.name) }
            }
        } catch {
            // The guest gets the message as it is, and finds the same.
        }
    }
}
