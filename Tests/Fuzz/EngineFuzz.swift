/// A whole host end with two guests that send anything: a script of frames, actions of the host,
/// and time.
///
/// How it works: the first byte selects settings, then each step begins with one byte. Its low four
/// bits select the kind of step, bit 4 repairs the checksums of the frame after its mutation, bits
/// 5 and 6 count the mutated bytes, and bit 7 selects the guest: the first one has a plain link,
/// the second one a link with offload headers. The host's sockets are real, in a network namespace
/// of their own where every address is local (see fuzz.sh). After every step the frames sent are
/// checked by a codec of its own (`FrameCheck`); at the end all flows, timers, descriptors and the
/// engine itself must be gone.
enum EngineFuzz {
    private static let maximumSteps = 128

    static func run(_ input: FuzzInput) {
        var input = input
        let descriptor = EngineHost.lowestFreeDescriptor()
        let host = EngineHost.shared
        weak var engine: PacketEngine?
        do {
            let world = try EngineWorld(&input, host)
            engine = world.network.engine
            for _ in 0..<maximumSteps where !input.isEmpty { try world.step(&input) }
            try world.end()
        } catch {
            fatalError("the machine refuses: \(error)")
        }
        mustHold(engine == nil, "the engine outlives its network")
        guard EngineHost.isWarm else { return EngineHost.isWarm = true }
        let now = EngineHost.lowestFreeDescriptor()
        mustHold(now == descriptor, "descriptor \(descriptor) is not free any more")
    }
}
