/// One call of the handshake as the host makes it: hears the phrase, and may say READY then.
///
/// The products' own host says READY without listening and closes at once. A virtual machine that is slow to take the call cannot send its
/// phrase any more then, and takes that for a failed call: so here READY is said when the phrase has come, and not before.
///
/// A hypervisor that offers its machine's ports at a unix socket (Firecracker, Cloud Hypervisor) is told the port first:
/// `CONNECT 6669` and a line feed, which it answers with `OK` and a number of its own, or by closing.
struct HostExchange: HandshakeExchange {
    private enum State {
        case connecting
        /// The hypervisor has been told the port; this much of its answer has come.
        case asking([UInt8])
        case hearing(ExpectedOctets)
        /// The phrase has come, and this end's words are on their way.
        case saying
        case over
    }

    /// `OK 4294967295` and a line feed, with room to spare.
    private static let longestAnswer = 32

    private let phrase: [UInt8]
    private let words: [UInt8]
    private let port: UInt32?
    private var state = State.connecting

    /// Makes one call's state.
    ///
    /// - Parameters:
    ///   - phrase: What the virtual machine has to say.
    ///   - words: What it is told then; empty to close when it has been recognised.
    ///   - port: What the hypervisor is to be told; nil when there is none in between.
    init(hearing phrase: [UInt8], saying words: [UInt8] = [], asking port: UInt32?) {
        self.phrase = phrase
        self.words = words
        self.port = port
    }

    mutating func next(_ event: ExchangeEvent) -> ExchangeStep {
        switch (state, event) {
        case (.over, _):
            return .wait
        case (.connecting, .connected):
            guard let port else {
                state = .hearing(ExpectedOctets(phrase))
                return .wait
            }
            state = .asking([])
            return .send(Array("CONNECT \(port)\n".utf8))
        case (.asking(let answer), .received(let octets)):
            return receiveAnswer(answer + octets)
        case (.hearing(let phrase), .received(let octets)):
            return receive(octets, after: phrase)
        case (.saying, .sent):
            return end(.agreed)
        case (.asking, .ended):
            return end(.failed(.unreachable("the hypervisor says that nobody listens")))
        case (_, .ended):
            return end(.failed(.cutShort(heard, of: phrase.count)))
        case (_, .deadlinePassed):
            return end(.failed(.silent(heard, of: phrase.count)))
        case (_, .failed(let cause)), (_, .sendingFailed(let cause)):
            return end(.failed(.unreachable(cause)))
        case (_, .connected), (_, .received), (_, .sent):
            return .wait
        }
    }

    private var heard: Int {
        switch state {
        case .connecting, .asking: 0
        case .hearing(let phrase): phrase.count
        case .saying, .over: phrase.count
        }
    }

    private mutating func receiveAnswer(_ answer: [UInt8]) -> ExchangeStep {
        guard let feed = answer.firstIndex(of: UInt8(ascii: "\n")) else {
            state = .asking(answer)
            return answer.count < Self.longestAnswer ? .wait : end(.failed(.unlike(answer)))
        }
        guard answer.starts(with: "OK ".utf8) else { return end(.failed(.unlike(answer))) }
        return receive(Array(answer[(feed + 1)...]), after: ExpectedOctets(phrase))
    }

    private mutating func receive(_ octets: [UInt8], after heard: ExpectedOctets) -> ExchangeStep {
        var heard = heard
        switch heard.take(octets) {
        case .beginning:
            state = .hearing(heard)
            return .wait
        case .complete:
            guard !words.isEmpty else { return end(.agreed) }
            state = .saying
            return .send(words)
        case .other(let said):
            return end(.failed(.unlike(said)))
        }
    }

    private mutating func end(_ result: ExchangeResult) -> ExchangeStep {
        state = .over
        return .end(result)
    }
}
