/// One handshake connection accepted by the VM: sends the phrase, waits for READY.
///
/// A probing host reads the phrase and closes, which ends here as `cutShort` and is normal. A host
/// that announces itself may send READY and close before the phrase can be sent, so failing to send
/// the phrase is not an error.
struct GuestExchange: HandshakeExchange {
    private enum State {
        case opening
        case listening
        case over
    }

    private let phrase: [UInt8]
    private var ready: ExpectedOctets
    private var state = State.opening

    /// Creates the state of one connection.
    ///
    /// - Parameters:
    ///   - phrase: The phrase to send.
    ///   - ready: The bytes to wait for.
    init(phrase: [UInt8], ready: [UInt8]) {
        self.phrase = phrase
        self.ready = ExpectedOctets(ready)
    }

    mutating func next(_ event: ExchangeEvent) -> ExchangeStep {
        switch (state, event) {
        case (.opening, .connected):
            state = .listening
            return .send(phrase)
        case (.opening, .received(let octets)), (.listening, .received(let octets)):
            return receive(octets)
        case (.opening, .ended), (.listening, .ended):
            return end(.failed(.cutShort(ready.count, of: ready.expected.count)))
        case (.opening, .failed(let cause)), (.listening, .failed(let cause)):
            return end(.failed(.unreachable(cause)))
        case (.opening, .deadlinePassed), (.listening, .deadlinePassed):
            return end(.failed(.silent(ready.count, of: ready.expected.count)))
        case (.opening, .sent), (.opening, .sendingFailed), (.listening, .connected),
            (.listening, .sent), (.listening, .sendingFailed), (.over, _):
            return .wait
        }
    }

    private mutating func receive(_ octets: [UInt8]) -> ExchangeStep {
        switch ready.take(octets) {
        case .beginning: .wait
        case .complete: end(.agreed)
        case .other(let said): end(.failed(.unlike(said)))
        }
    }

    private mutating func end(_ result: ExchangeResult) -> ExchangeStep {
        state = .over
        return .end(result)
    }
}
