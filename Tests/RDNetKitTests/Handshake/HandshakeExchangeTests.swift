import Testing

@testable import RDNetKit

/// What an exchange is fed with, and what it answers at last.
struct ExchangeCase: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let events: [ExchangeEvent]
    let last: ExchangeStep

    init(_ name: String, _ events: [ExchangeEvent], _ last: ExchangeStep) {
        testDescription = name
        self.events = events
        self.last = last
    }
}

extension ExchangeEvent {
    /// Octets that came, as text.
    static func said(_ text: String) -> ExchangeEvent { .received(Array(text.utf8)) }
}

extension ExchangeStep {
    static func says(_ text: String) -> ExchangeStep { .send(Array(text.utf8)) }
    static func failed(_ fault: ExchangeFault) -> ExchangeStep { .end(.failed(fault)) }
}

@Suite("a call of the handshake")
struct HandshakeExchangeTests {
    @Test func `what each generation of the products says is what it always said`() {
        #expect(RancherProfile.allCases.map(\.signature.utf8.count) == [53, 60, 69])
        #expect(Array(RancherProfile.readyToken.utf8) == [0x52, 0x45, 0x41, 0x44, 0x59])
    }

    static let guestCases = [
        ExchangeCase("says the phrase first", [.connected], .says("me")),
        ExchangeCase("a probe", [.connected, .sent, .ended], .failed(.cutShort(0, of: 5))),
        ExchangeCase("READY", [.connected, .sent, .said("READY")], .end(.agreed)),
        ExchangeCase("READY in pieces", [.connected, .said("RE"), .said("ADY")], .end(.agreed)),
        ExchangeCase("READY and more", [.connected, .said("READY or not")], .end(.agreed)),
        ExchangeCase(
            "READY from a host that has closed already",
            [.connected, .sendingFailed("Broken pipe"), .said("READY")],
            .end(.agreed)
        ),
        ExchangeCase(
            "half of it",
            [.connected, .said("REA"), .ended],
            .failed(.cutShort(3, of: 5))
        ),
        ExchangeCase("mute", [.connected, .sent, .deadlinePassed], .failed(.silent(0, of: 5))),
        ExchangeCase(
            "something else, as soon as it differs",
            [.connected, .said("RE"), .said("D")],
            .failed(.unlike(Array("RED".utf8)))
        ),
        ExchangeCase("reset", [.connected, .failed("reset")], .failed(.unreachable("reset"))),
        ExchangeCase("after the end", [.connected, .said("READY"), .said("READY")], .wait),
    ]

    @Test("the virtual machine's end", arguments: guestCases)
    func guest(example: ExchangeCase) {
        var exchange = GuestExchange(phrase: Array("me".utf8), ready: Array("READY".utf8))
        let steps = example.events.map { exchange.next($0) }
        #expect(steps.last == example.last)
    }

    @Test func `every event has an answer in every state`() {
        let events: [ExchangeEvent] = [
            .connected, .said("READY"), .said("x"), .sent, .sendingFailed(""), .ended, .failed(""),
            .deadlinePassed,
        ]
        for first in events {
            for second in events {
                var exchange = GuestExchange(phrase: [], ready: Array("READY".utf8))
                let steps = [exchange.next(first), exchange.next(second)]
                if case .end = steps[0] { #expect(steps[1] == .wait) }
            }
        }
    }

    @Test func `a fault is said in a few words, and whatever was heard in plain ones`() {
        #expect("\(ExchangeFault.unlike([0x41, 0x0a, 0xff, 0x42]))" == "says \"A??B\"")
        #expect("\(ExchangeFault.silent(53, of: 60))" == "silent after 53 of 60 octets")
        #expect("\(ExchangeFault.cutShort(0, of: 60))" == "closed after 0 of 60 octets")
    }
}

@Suite("the virtual machine's end of the handshake, in the abstract")
struct GuestHandshakeStateTests {
    struct Step: Sendable, CustomTestStringConvertible {
        let from: GuestHandshakeState
        let event: GuestHandshakeEvent
        let to: GuestHandshakeState
        let actions: [GuestHandshakeAction]

        var testDescription: String { "\(event) while \(from)" }

        init(
            _ from: GuestHandshakeState,
            _ event: GuestHandshakeEvent,
            _ to: GuestHandshakeState,
            _ actions: [GuestHandshakeAction] = []
        ) {
            self.from = from
            self.event = event
            self.to = to
            self.actions = actions
        }
    }

    static let once = GuestHandshakeState.calling(again: false)
    static let again = GuestHandshakeState.calling(again: true)

    static let table = [
        Step(.idle, .started, .listening),
        Step(.listening, .started, .listening),
        Step(once, .started, once),
        Step(.idle, .ready, .idle),
        Step(.listening, .ready, once, [.callHost]),
        Step(once, .ready, again),
        Step(again, .ready, again),
        Step(.idle, .hostAnswered, .idle),
        Step(.listening, .hostAnswered, .listening),
        Step(once, .hostAnswered, .idle, [.closePort, .handOver]),
        Step(again, .hostAnswered, .idle, [.closePort, .handOver]),
        Step(.idle, .callFailed, .idle),
        Step(.listening, .callFailed, .listening),
        Step(once, .callFailed, .listening),
        Step(again, .callFailed, once, [.callHost]),
        Step(.idle, .stopped, .idle),
        Step(.listening, .stopped, .idle, [.closePort]),
        Step(once, .stopped, .idle, [.closePort]),
        Step(again, .stopped, .idle, [.closePort]),
    ]

    @Test("answers each event in each state", arguments: table)
    func transition(step: Step) {
        var state = step.from
        #expect(state.next(step.event) == step.actions)
        #expect(state == step.to)
    }
}
