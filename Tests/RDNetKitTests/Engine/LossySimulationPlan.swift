@testable import RDNetKit

extension LossySimulation {
    /// The parameters that a seed determines.
    struct Plan: CustomStringConvertible {
        var guest = SimulatedGuest.Behavior()
        var upload = 0
        var download = 0
        var loss = 0.0
        var duplication = 0.0
        var reordering = 0.0
        var delay = Duration.milliseconds(1)
        var jitter = Duration.zero
        /// The maximum number of bytes that the host reads per turn.
        var hostReads = Int.max
        var hostEndsLast = false
        /// Whether the host sends back what it reads.
        var echoes = false
        /// Whether the gateway opens the connection.
        var opensFromHost = false
        var peeksAtOffset = true
        var linkRoom = Int.max

        var description: String {
            """
            up \(upload) down \(download) loss \(loss) dup \(duplication) reorder \(reordering) \
            delay \(delay)+\(jitter) hostReads \(hostReads) hostLast \(hostEndsLast) echo \(echoes) \
            active \(opensFromHost) peek \(peeksAtOffset) room \(linkRoom) guest \(guest)
            """
        }
    }
}

extension LossySimulation.Plan {
    /// Draws all parameters from a random generator.
    init(drawnWith random: inout SeededRandom) {
        self.init()
        func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &random) < percent }
        func size() -> Int {
            switch Int.random(in: 0..<20, using: &random) {
            case 0: 0
            case 1..<6: Int.random(in: 1..<2000, using: &random)
            case 6..<16: Int.random(in: 2000..<60_000, using: &random)
            case 16..<19: Int.random(in: 40_000..<120_000, using: &random)
            default: Int.random(in: 120_000..<400_000, using: &random)
            }
        }
        upload = size()
        download = size()
        if chance(80) { loss = Double.random(in: 0...0.2, using: &random) }
        if chance(50) { duplication = Double.random(in: 0...0.1, using: &random) }
        if chance(50) { reordering = Double.random(in: 0...0.3, using: &random) }
        delay = .microseconds(Int.random(in: 10...20_000, using: &random))
        if chance(50) { jitter = .microseconds(Int.random(in: 0...5000, using: &random)) }
        if chance(25) { hostReads = Int.random(in: 100...20_000, using: &random) }
        hostEndsLast = chance(40)
        echoes = chance(20)
        if echoes {
            download = upload
            hostEndsLast = true
        }
        opensFromHost = chance(30)
        peeksAtOffset = chance(75)
        if chance(20) { linkRoom = Int.random(in: 1...10_000, using: &random) }
        guest.segmentSize =
            chance(60)
            ? Int.random(in: 536...1460, using: &random)
            : Int.random(in: 100...9000, using: &random)
        guest.scale = chance(20) ? nil : UInt8.random(in: 0...10, using: &random)
        guest.reportsSACK = chance(60)
        if chance(50) { guest.clock = UInt32.random(in: .min ... .max, using: &random) }
        guest.capacity = Int.random(in: 1500...200_000, using: &random)
        if guest.scale == nil || guest.scale == 0 {
            guest.capacity = min(guest.capacity, 65_535)
        }
        if chance(25) { guest.readingSpeed = Int.random(in: 20...500, using: &random) }
        guest.initial =
            chance(50)
            ? UInt32.random(in: .min ... .max, using: &random)
            : 0 &- UInt32.random(in: 0...200_000, using: &random)
        guest.endsLast = !hostEndsLast && chance(50)
        guest.probesWithOctet = chance(30)
    }
}
