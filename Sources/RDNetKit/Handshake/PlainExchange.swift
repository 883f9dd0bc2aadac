/// A connection without a handshake: it succeeds once the peer accepts it.
struct PlainExchange: HandshakeExchange {
    mutating func next(_ event: ExchangeEvent) -> ExchangeStep {
        switch event {
        case .connected: .end(.agreed)
        case .failed(let cause), .sendingFailed(let cause): .end(.failed(.unreachable(cause)))
        case .ended: .end(.failed(.cutShort(0, of: 0)))
        case .deadlinePassed: .end(.failed(.silent(0, of: 0)))
        case .received, .sent: .wait
        }
    }
}
