/// One handshake connection from the host: receives the phrase, then may send READY.
///
/// Rancher Desktop's own host sends READY without reading and closes immediately. A VM that is slow
/// to accept then cannot send its phrase and treats the connection as failed, so this end sends
/// READY only after the phrase arrived.
///
/// A hypervisor that maps its VM's ports to a unix socket (Firecracker, Cloud Hypervisor) expects
/// the port first: `CONNECT 6669` and a line feed. It replies with `OK` and a port number, or
/// closes.
struct HostExchange: HandshakeExchange {
    private enum State {
        case connecting
        /// The port was sent to the hypervisor; the bytes of its reply so far.
        case asking([UInt8])
        case hearing(ExpectedOctets)
        /// The phrase arrived; our reply is being sent.
        case saying
        case over
    }

    /// `OK 4294967295` and a line feed, with some slack.
    private static let maximumAnswerLength = 32

    private let phrase: [UInt8]
    private let words: [UInt8]
    private let port: UInt32?
    private var state = State.connecting

    /// Creates the state of one connection.
    ///
    /// - Parameters:
    ///   - phrase: The phrase expected from the VM.
    ///   - words: The reply to it; empty to close once the VM is recognized.
    ///   - port: The port to send to the hypervisor; nil without one in between.
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
            return end(.failed(.unreachable("the hypervisor reports no listener")))
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
            return answer.count < Self.maximumAnswerLength ? .wait : end(.failed(.unlike(answer)))
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
