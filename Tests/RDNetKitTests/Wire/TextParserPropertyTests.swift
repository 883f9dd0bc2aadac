import Testing

@testable import RDNetKit

/// SplitMix64: the same seed gives the same numbers everywhere.
private struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
        return mixed ^ mixed >> 31
    }

    /// Returns a text with some bytes replaced, removed and added.
    mutating func mutated(_ octets: [UInt8]) -> [UInt8] {
        var octets = octets
        for _ in 0..<Int.random(in: 0...6, using: &self) {
            let index = Int.random(in: 0...octets.count, using: &self)
            let octet = UInt8.random(in: 0...255, using: &self)
            switch Int.random(in: 0..<3, using: &self) {
            case 0: octets.insert(octet, at: index)
            case 1 where index < octets.count: octets.remove(at: index)
            default: if index < octets.count { octets[index] = octet }
            }
        }
        return octets
    }
}

@Suite("parsers of outside text")
struct TextParserPropertyTests {
    @Test("JSON: octets never trap, and what is read is written and read again", arguments: 1...20)
    func json(seed: UInt64) throws {
        var random = SeededGenerator(state: seed)
        let sample = Array(
            #"{"local":"127.0.0.1:80\u00e9\ud83d\ude00","n":[1.5e-3,true,null,{"a":[]}]}"#.utf8
        )
        for _ in 0..<500 {
            let octets = random.mutated(sample)
            let value: JSON
            do {
                value = try JSONParser.parse(octets)
            } catch {
                #expect(!error.description.isEmpty, "seed \(seed)")
                continue
            }
            let again = try JSONParser.parse(value.octets)
            #expect(again == value, "seed \(seed): \(octets)")
        }
    }

    @Test("HTTP: pieces of any size amount to the same as one", arguments: 1...20)
    func http(seed: UInt64) {
        var random = SeededGenerator(state: seed)
        let sample = Array(
            """
            POST /a?b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
            4\r\nabcd\r\n0\r\nT: u\r\n\r\nGET / HTTP/1.0\r\n\r\n\
            PUT /c HTTP/1.1\r\nHost:\r\nContent-Length: 3\r\n\r\nxyz
            """.utf8
        )
        for _ in 0..<300 {
            let octets = random.mutated(sample)
            var cuts = [0, octets.count]
            for _ in 0..<3 { cuts.append(Int.random(in: 0...octets.count, using: &random)) }
            cuts.sort()
            let pieces = zip(cuts, cuts.dropFirst()).map { Array(octets[$0..<$1]) }
            #expect(outcome(pieces) == outcome([octets]), "seed \(seed): \(octets)")
        }
    }

    private func outcome(_ pieces: [[UInt8]]) -> [String] {
        var reader = HTTPRequestReader()
        var found: [String] = []
        for piece in pieces {
            piece.withUnsafeBytes { reader.append($0) }
            do {
                reading: while true {
                    switch try reader.next() {
                    case .needsMore: break reading
                    case .continueExpected: continue
                    case .message(let request): found.append("\(request)")
                    }
                }
            } catch {
                return found + ["\(error.status)"]
            }
        }
        return found
    }
}
