import Testing

@testable import RDNetKit

/// The host's end on a manual clock.
private struct HostStateScene {
    static let machine = VirtualMachine.context(3)
    static let other = VirtualMachine.context(4)

    var state: HostHandshakeState
    var now = Instant(nanoseconds: 7_000_000_000_000)

    init(limit: Duration? = .seconds(300)) {
        state = HostHandshakeState(searchLimit: limit)
    }

    mutating func handle(_ event: HostHandshakeEvent) -> [HostHandshakeAction] {
        state.next(event, now: now)
    }

    /// Advances the clock to the next deadline, but never moves it back.
    mutating func passDeadline() throws -> [HostHandshakeAction] {
        now = max(now, try #require(state.nextDeadline))
        return handle(.deadlinePassed)
    }

    /// Runs the handshake from the start to READY.
    mutating func announce() throws {
        #expect(handle(.started).isEmpty)
        #expect(try passDeadline() == [.ask(except: nil)])
        try answer()
    }

    /// Runs the handshake from a round's query to READY.
    mutating func answer() throws {
        #expect(handle(.found(Self.machine)) == [.endRound, .announce(Self.machine)])
        #expect(handle(.announced).isEmpty)
    }

    mutating func serve() throws {
        try announce()
        #expect(handle(.streamCame) == [.closeDataPort, .serve])
    }
}

@Suite("the host's end of the handshake, in the abstract")
struct HostHandshakeStateTests {
    private var scene = HostStateScene()

    @Test mutating func `asks at once, and then every second`() throws {
        #expect(scene.handle(.started).isEmpty)
        let start = scene.now
        for second in 0..<10 {
            #expect(try scene.passDeadline() == [.ask(except: nil)])
            #expect(scene.now - start == .seconds(second))
        }
    }

    @Test mutating func `a machine that says the phrase is told READY, and has ten seconds`() throws
    {
        try scene.announce()
        let told = scene.now
        #expect(scene.state.nextDeadline == told + .seconds(10))
        scene.now = told + .milliseconds(9_999)
        #expect(scene.handle(.deadlinePassed).isEmpty)
        #expect(scene.handle(.streamCame) == [.closeDataPort, .serve])
        #expect(scene.state.phase == .serving(HostStateScene.machine, since: scene.now))
        #expect(scene.state.nextDeadline == nil)
    }

    @Test mutating func `a stream from nobody who was told READY is refused`() throws {
        #expect(scene.handle(.streamCame) == [.refuseStream])
        _ = scene.handle(.started)
        #expect(scene.handle(.streamCame) == [.refuseStream])
        _ = try scene.passDeadline()
        _ = scene.handle(.found(HostStateScene.machine))
        #expect(scene.handle(.streamCame) == [.refuseStream])
        #expect(scene.handle(.announced).isEmpty)
        #expect(scene.handle(.streamCame) == [.closeDataPort, .serve])
        #expect(scene.handle(.streamCame) == [.refuseStream])
    }

    @Test mutating func `five phantoms in a row are enough`() throws {
        try scene.announce()
        let cause = "vsock://3: no stream within 10 s"
        for _ in 1...4 {
            #expect(try scene.passDeadline() == [.closeDataPort, .report(cause)])
            #expect(try scene.passDeadline() == [.ask(except: HostStateScene.machine)])
            // The machine sits out only one round.
            #expect(try scene.passDeadline() == [.ask(except: nil)])
            try scene.answer()
        }
        let end = try scene.passDeadline()
        #expect(end == [.closeDataPort, .giveUp(.phantoms(5, last: cause))])
        #expect(scene.state.nextDeadline == nil)
    }

    @Test mutating func `READY that cannot be said counts as a phantom`() throws {
        _ = scene.handle(.started)
        for attempt in 1...5 {
            while try scene.passDeadline() != [.ask(except: nil)] {}
            _ = scene.handle(.found(HostStateScene.machine))
            let actions = scene.handle(.announcementFailed("no"))
            #expect(
                actions.last == (attempt < 5 ? .report("no") : .giveUp(.phantoms(5, last: "no")))
            )
        }
    }

    @Test mutating func `a stream that ends begins it all again, with five new attempts`() throws {
        try scene.serve()
        for _ in 1...20 {
            scene.now = scene.now + .seconds(60)
            #expect(scene.handle(.streamEnded).isEmpty)
            // The host queries the machine at once.
            #expect(scene.state.nextDeadline.map { $0 <= scene.now } == true)
            #expect(try scene.passDeadline() == [.ask(except: nil)])
            try scene.answer()
            _ = try scene.passDeadline()
            while try scene.passDeadline() != [.ask(except: nil)] {}
            try scene.answer()
            #expect(scene.handle(.streamCame) == [.closeDataPort, .serve])
        }
    }

    @Test mutating func `streams that end at once do not make it ask more than once a second`()
        throws
    {
        try scene.serve()
        let start = scene.now
        for second in 1...10 {
            #expect(scene.handle(.streamEnded).isEmpty)
            let actions = try scene.passDeadline()
            #expect(scene.now - start == .seconds(second))
            // A machine that disconnects at once must not prevent the host from finding others.
            #expect(actions == [.ask(except: HostStateScene.machine)])
            try scene.answer()
            #expect(scene.handle(.streamCame) == [.closeDataPort, .serve])
        }
    }

    @Test mutating func `gives up after five minutes without an answer, counted anew each time`()
        throws
    {
        try scene.announce()
        _ = try scene.passDeadline()
        let start = scene.now
        var actions: [HostHandshakeAction] = []
        repeat { actions = try scene.passDeadline() } while scene.state.nextDeadline != nil
        #expect(actions == [.endRound, .giveUp(.nobody(within: .seconds(300)))])
        #expect(scene.now - start == .seconds(300))
    }

    @Test func `does not give up when it is told so`() throws {
        var scene = HostStateScene(limit: nil)
        _ = scene.handle(.started)
        scene.now = scene.now + .seconds(86_400)
        #expect(scene.handle(.deadlinePassed) == [.ask(except: nil)])
    }

    @Test mutating func `stopped, it closes what is open, whatever it was doing`() throws {
        #expect(scene.handle(.stopped) == [.endRound, .closeDataPort])
        try scene.announce()
        #expect(scene.handle(.stopped) == [.endRound, .closeDataPort])
        #expect(scene.state.nextDeadline == nil)
    }

    @Test mutating func `late news changes nothing`() throws {
        let late: [HostHandshakeEvent] = [
            .deadlinePassed, .found(HostStateScene.other), .announced, .announcementFailed(""),
            .streamEnded,
        ]
        for event in late { #expect(scene.handle(event).isEmpty, "\(event) while idle") }
        #expect(scene.state.phase == .idle)
        try scene.serve()
        let serving = scene.state.phase
        for event in [.started] + late.dropLast() {
            #expect(scene.handle(event).isEmpty, "\(event) while serving")
        }
        #expect(scene.state.phase == serving)
    }

    @Test func `says in one sentence why it gives up`() {
        #expect(
            "\(HandshakeFailure.nobody(within: .seconds(300)))"
                == "no VM answered the handshake within 300 s"
        )
        #expect(
            "\(HandshakeFailure.phantoms(5, last: "because"))"
                == "5 consecutive handshakes produced no stream; the last: because"
        )
    }
}
