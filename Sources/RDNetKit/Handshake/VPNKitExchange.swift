/// VPNKit's greeting from the server's side: hello, hello, command, reply (`VPNKitGreeting`).
///
/// It requests no more bytes than the next message, so a frame after the greeting stays for the
/// link.
struct VPNKitExchange: HandshakeExchange {
    private enum State {
        case hearingHello([UInt8])
        case answeringHello
        case hearingCommand([UInt8])
        case answeringCommand
        case over
    }

    private let mtu: Int
    private let choosing: (String) -> MACAddress
    private var state = State.hearingHello([])

    /// Creates the state of one connection.
    ///
    /// - Parameters:
    ///   - mtu: The largest IP packet.
    ///   - choosing: Returns the MAC address of a VM by its UUID in lower case.
    init(mtu: Int, choosing: @escaping (String) -> MACAddress) {
        self.mtu = mtu
        self.choosing = choosing
    }

    var octetsWanted: Int {
        switch state {
        case .hearingHello(let heard): VPNKitGreeting.helloLength - heard.count
        case .hearingCommand(let heard): VPNKitGreeting.commandLength - heard.count
        case .answeringHello, .answeringCommand, .over: 0
        }
    }

    mutating func next(_ event: ExchangeEvent) -> ExchangeStep {
        switch (state, event) {
        case (.over, _), (_, .connected):
            return .wait
        case (.hearingHello(let heard), .received(let octets)):
            return hear(heard + octets)
        case (.answeringHello, .sent):
            state = .hearingCommand([])
            return .wait
        case (.hearingCommand(let heard), .received(let octets)):
            return obey(heard + octets)
        case (.answeringCommand, .sent):
            return end(.agreed)
        case (_, .ended):
            return end(.failed(.cutShort(heard, of: Self.total)))
        case (_, .deadlinePassed):
            return end(.failed(.silent(heard, of: Self.total)))
        case (_, .failed(let cause)), (_, .sendingFailed(let cause)):
            return end(.failed(.unreachable(cause)))
        case (_, .received), (_, .sent):
            return .wait
        }
    }

    private static let total = VPNKitGreeting.helloLength + VPNKitGreeting.commandLength

    /// Bytes of the client's two messages so far.
    private var heard: Int {
        switch state {
        case .hearingHello(let heard): heard.count
        case .answeringHello: VPNKitGreeting.helloLength
        case .hearingCommand(let heard): VPNKitGreeting.helloLength + heard.count
        case .answeringCommand, .over: Self.total
        }
    }

    private mutating func hear(_ hello: [UInt8]) -> ExchangeStep {
        guard hello.count == VPNKitGreeting.helloLength else {
            state = .hearingHello(hello)
            return .wait
        }
        state = .answeringHello
        return .send(hello)
    }

    private mutating func obey(_ command: [UInt8]) -> ExchangeStep {
        guard command.count == VPNKitGreeting.commandLength else {
            state = .hearingCommand(command)
            return .wait
        }
        state = .answeringCommand
        let mac = choosing(VPNKitGreeting.machine(in: command))
        return .send(VPNKitGreeting.answer(mtu: mtu, mac: mac))
    }

    private mutating func end(_ result: ExchangeResult) -> ExchangeStep {
        state = .over
        return .end(result)
    }
}
