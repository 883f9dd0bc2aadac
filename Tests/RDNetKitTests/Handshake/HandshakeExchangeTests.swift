import Testing

@testable import RDNetKit

/// The events of an exchange and its last step.
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
    /// Received bytes, as text.
    static func said(_ text: String) -> ExchangeEvent { .received(Array(text.utf8)) }
}

extension ExchangeStep {
    static func says(_ text: String) -> ExchangeStep { .send(Array(text.utf8)) }
    static func failed(_ fault: ExchangeFault) -> ExchangeStep { .end(.failed(fault)) }

    fileprivate var isEnd: Bool {
        if case .end = self { true } else { false }
    }
}

@Suite("a call of the handshake")
struct HandshakeExchangeTests {
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

    static let hearingCases = [
        ExchangeCase("says nothing before it has heard something", [.connected], .wait),
        ExchangeCase("the phrase", [.connected, .said("open sesame")], .end(.agreed)),
        ExchangeCase(
            "the phrase in pieces",
            [.connected, .said("o"), .said("pen ses"), .said("ame")],
            .end(.agreed)
        ),
        ExchangeCase("a longer phrase", [.connected, .said("open sesame street")], .end(.agreed)),
        ExchangeCase(
            "a shorter phrase",
            [.connected, .said("open"), .ended],
            .failed(.cutShort(4, of: 11))
        ),
        ExchangeCase(
            "a shorter phrase, and then silence",
            [.connected, .said("open"), .deadlinePassed],
            .failed(.silent(4, of: 11))
        ),
        ExchangeCase(
            "another phrase, as soon as it differs",
            [.connected, .said("open g")],
            .failed(.unlike(Array("open g".utf8)))
        ),
        ExchangeCase("mute", [.connected, .deadlinePassed], .failed(.silent(0, of: 11))),
        ExchangeCase("refused", [.failed("no")], .failed(.unreachable("no"))),
        ExchangeCase("never answered", [.deadlinePassed], .failed(.silent(0, of: 11))),
        ExchangeCase("after the end", [.connected, .ended, .ended], .wait),
    ]

    @Test("the host's end, asking who is there", arguments: hearingCases)
    func asking(example: ExchangeCase) {
        var exchange = HostExchange(hearing: Array("open sesame".utf8), asking: nil)
        #expect(example.events.map { exchange.next($0) }.last == example.last)
    }

    static let sayingCases = [
        ExchangeCase("hears first", [.connected], .wait),
        ExchangeCase("then speaks", [.connected, .said("me")], .says("READY")),
        ExchangeCase("then hangs up", [.connected, .said("me"), .sent], .end(.agreed)),
        ExchangeCase(
            "to nobody else",
            [.connected, .said("mf")],
            .failed(.unlike(Array("mf".utf8)))
        ),
        ExchangeCase(
            "and says when it was not heard",
            [.connected, .said("me"), .sendingFailed("Broken pipe")],
            .failed(.unreachable("Broken pipe"))
        ),
    ]

    @Test("the host's end, saying READY", arguments: sayingCases)
    func saying(example: ExchangeCase) {
        var exchange = HostExchange(
            hearing: Array("me".utf8),
            saying: Array("READY".utf8),
            asking: nil
        )
        #expect(example.events.map { exchange.next($0) }.last == example.last)
    }

    static let hypervisorCases = [
        ExchangeCase("is told the port", [.connected], .says("CONNECT 6669\n")),
        ExchangeCase("answers", [.connected, .sent, .said("OK 1073741824\n")], .wait),
        ExchangeCase(
            "is followed by the machine",
            [.connected, .said("OK 1073741824\n"), .said("me")],
            .end(.agreed)
        ),
        ExchangeCase(
            "and the machine answer in one piece, or in many",
            [.connected, .said("OK"), .said(" 1\nm"), .said("e")],
            .end(.agreed)
        ),
        ExchangeCase(
            "closes where nobody listens",
            [.connected, .ended],
            .failed(.unreachable("the hypervisor reports no listener"))
        ),
        ExchangeCase(
            "answers something else",
            [.connected, .said("NO\n")],
            .failed(.unlike(Array("NO\n".utf8)))
        ),
        ExchangeCase(
            "answers without an end",
            [.connected, .said(String(repeating: "1", count: 32))],
            .failed(.unlike([UInt8](repeating: 0x31, count: 32)))
        ),
        ExchangeCase("is mute", [.connected, .deadlinePassed], .failed(.silent(0, of: 2))),
    ]

    @Test("a hypervisor in between", arguments: hypervisorCases)
    func hypervisor(example: ExchangeCase) {
        var exchange = HostExchange(hearing: Array("me".utf8), asking: 6669)
        #expect(example.events.map { exchange.next($0) }.last == example.last)
    }

    @Test func `an exchange ends once, whatever comes in whatever order`() {
        let events: [ExchangeEvent] = [
            .connected, .said("READY"), .said("me"), .said("x"), .said("OK 1\n"), .sent,
            .sendingFailed(""), .ended, .failed(""), .deadlinePassed,
        ]
        let makers: [() -> any HandshakeExchange] = [
            { GuestExchange(phrase: Array("me".utf8), ready: Array("READY".utf8)) },
            { HostExchange(hearing: Array("me".utf8), asking: 6669) },
            { HostExchange(hearing: Array("me".utf8), saying: [1], asking: nil) },
        ]
        for make in makers {
            for index in 0..<10_000 {
                var exchange = make()
                let digits = [index / 1_000, index / 100 % 10, index / 10 % 10, index % 10]
                let steps = digits.map { exchange.next(events[$0]) }
                guard let end = steps.firstIndex(where: \.isEnd) else { continue }
                #expect(steps[(end + 1)...].allSatisfy { $0 == .wait }, "\(digits)")
            }
        }
    }

    @Test func `a fault is said in a few words, and whatever was heard in plain ones`() {
        #expect("\(ExchangeFault.unlike([0x41, 0x0a, 0xff, 0x42]))" == "sent \"A??B\"")
        #expect("\(ExchangeFault.silent(53, of: 60))" == "silent after 53 of 60 bytes")
        #expect("\(ExchangeFault.cutShort(0, of: 60))" == "closed after 0 of 60 bytes")
    }
}
