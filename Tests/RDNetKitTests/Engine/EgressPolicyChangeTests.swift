import Testing

@testable import RDNetKit

@Suite("an egress policy that changes, or asks")
struct EgressPolicyChangeTests {
    @Test func `a change ends what is no longer allowed, and nothing else`() throws {
        let world = try PolicedGuest("allow host")
        let (kept, keeper) = (try HostListener(), try HostListener())
        let (first, firstHost) = try world.guest.connect(to: kept)
        let (second, secondHost) = try world.guest.connect(to: keeper)
        try world.rule("deny host:\(keeper.port)", "allow host")
        #expect(try second.takeAll().contains { $0.flags.contains(.rst) })
        #expect(secondHost.readsReset())
        first.send(.ack, "still here")
        try world.guest.turn(until: {
            firstHost.read()
            return firstHost.received.count == 10
        })
    }

    @Test func `a change to a thousand flows ends none that is still allowed`() throws {
        ProcessLimits.raiseDescriptors()
        let world = try PolicedGuest("allow name.example address=host")
        try world.resolve("name.example", timeToLive: 60)
        let listener = try HostListener()
        var flows: [(tcp: ScriptedConnection, host: HostPeer)] = []
        for _ in 0..<1_000 { flows.append(try world.guest.connect(to: listener)) }
        // Its pins are over, but the flows were opened under the name.
        try world.guest.advance(.seconds(61))
        world.guest.forgetPackets()
        try world.rule("deny public", "allow name.example address=host")
        #expect(world.guest.engine.tcp.count == 1_000)
        try world.rule("deny public")
        #expect(world.guest.engine.tcp.count == 0)
    }

    @Test func `a policy that begins ends the flows that it denies`() throws {
        let world = try PolicedGuest()
        let policy = world.guest.engine.network.admission.policy
        world.guest.engine.network.admission.policy = nil
        let listener = try HostListener()
        _ = try world.guest.connect(to: listener)
        world.guest.engine.network.admission.policy = policy
        try world.rule("allow host:\(listener.port)")
        #expect(world.guest.engine.tcp.count == 1)
        try world.rule("allow public")
        #expect(world.guest.engine.tcp.count == 0)
    }

    @Test func `rules that are to ask leave open flows alone`() throws {
        let world = try PolicedGuest("allow host")
        _ = try world.guest.connect(to: HostListener())
        try world.rule("ask host")
        #expect(world.guest.engine.tcp.count == 1)
    }

    private func question(_ world: PolicedGuest) throws -> ScriptedConnection {
        let listener = try HostListener()
        let remote = Endpoint(address: ScriptedGuest.hostAlias, port: listener.port)
        let tcp = ScriptedConnection(world.guest, to: remote)
        tcp.send(.syn, options: .usual)
        try tcp.expectNothing()
        return tcp
    }

    @Test func `a connection waits for a person, who allows it`() throws {
        let world = try PolicedGuest("ask host")
        let listener = try HostListener()
        let remote = Endpoint(address: ScriptedGuest.hostAlias, port: listener.port)
        let tcp = ScriptedConnection(world.guest, to: remote)
        tcp.send(.syn, options: .usual)
        try tcp.expectNothing()
        #expect(world.policy.questions.open.map(\.number) == [1])
        #expect(world.policy.questions.answer(1, isAllowed: true) != nil)
        try tcp.expect([.syn, .ack], at: 0, ack: 1)
        // The answer holds for the next connection, and not for another port.
        let second = ScriptedConnection(world.guest, to: remote)
        try second.shakeHands()
        _ = try question(world)
        #expect(world.policy.questions.open.map(\.number) == [2])
    }

    @Test func `a person denies it, and the guest hears of it at once`() throws {
        let world = try PolicedGuest("ask host")
        let tcp = try question(world)
        #expect(world.policy.questions.answer(1, isAllowed: false) != nil)
        try tcp.expect([.rst, .ack], ack: 1)
        #expect(world.policy.questions.answer(1, isAllowed: true) == nil)
    }

    @Test func `without an answer it is denied after thirty seconds`() throws {
        let world = try PolicedGuest("ask host")
        let tcp = try question(world)
        try world.guest.advance(.seconds(29))
        try tcp.expectNothing()
        try world.guest.advance(.seconds(2))
        try tcp.expect([.rst, .ack], ack: 1)
        #expect(world.policy.questions.open.isEmpty)
        // It was no answer, so the next attempt asks again.
        _ = try question(world)
    }

    @Test func `rules that decide make the question moot`() throws {
        let world = try PolicedGuest("ask host")
        let tcp = try question(world)
        try world.rule("deny host")
        try tcp.expect([.rst, .ack], ack: 1)
        #expect(world.policy.questions.open.isEmpty)
    }

    @Test func `more questions than a person could answer are denied at once`() throws {
        let world = try PolicedGuest("ask host")
        for port in 1...UInt16(PolicyQuestions.maximumPerGuest) {
            let remote = Endpoint(address: ScriptedGuest.hostAlias, port: port)
            ScriptedConnection(world.guest, to: remote).send(.syn, options: .usual)
        }
        let remote = Endpoint(address: ScriptedGuest.hostAlias, port: 60_000)
        let tcp = ScriptedConnection(world.guest, to: remote)
        tcp.send(.syn, options: .usual)
        try tcp.expect([.rst, .ack], ack: 1)
        #expect(world.policy.questions.open.count == PolicyQuestions.maximumPerGuest)
    }

    @Test func `a guest that gives up leaves a question that harms nobody`() throws {
        let world = try PolicedGuest("ask host")
        let tcp = try question(world)
        tcp.send(.rst, at: 1)
        try world.guest.settle()
        #expect(world.policy.questions.answer(1, isAllowed: true) != nil)
        try tcp.expectNothing()
    }
}
