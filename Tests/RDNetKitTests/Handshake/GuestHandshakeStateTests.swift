import Testing

@testable import RDNetKit

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
        Step(.listening, .ready, once, [.connect]),
        Step(once, .ready, again),
        Step(again, .ready, again),
        Step(.idle, .hostAnswered, .idle),
        Step(.listening, .hostAnswered, .listening),
        Step(once, .hostAnswered, .idle, [.closePort, .handOver]),
        Step(again, .hostAnswered, .idle, [.closePort, .handOver]),
        Step(.idle, .connectFailed, .idle),
        Step(.listening, .connectFailed, .listening),
        Step(once, .connectFailed, .listening),
        Step(again, .connectFailed, once, [.connect]),
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
