import Testing

@testable import RDNetKit

@Suite("questions about processes")
struct ProcessQuestionTests {
    @Test("requests", arguments: ["9.9.9.9", "2620:fe::fe"])
    func requests(text: String) throws {
        let remote = Endpoint(address: try #require(IPAddress(text)), port: 443)
        let octets = ProcessQuestion.octets(remote)
        #expect(octets.count == 20 && octets.suffix(4) == [1, 187, 0, 0])
        #expect(ProcessQuestion.remote(reading: octets.span.bytes) == remote)
        #expect(ProcessQuestion.port(reading: octets.span.bytes) == nil)
        let other = ProcessQuestion.octets(remote, from: 515)
        #expect(other.suffix(4) == [1, 187, 2, 3])
        #expect(ProcessQuestion.port(reading: other.span.bytes) == 515)
        for wrong in [[], Array(octets.dropLast()), octets + [0]] {
            #expect(ProcessQuestion.remote(reading: wrong.span.bytes) == nil)
        }
    }

    @Test func `replies, of processes with any name`() {
        let reply = ProcessQuestion.reply(process: 4711, name: "curl")
        #expect(reply == [0, 0, 0x12, 0x67] + Array("curl".utf8))
        #expect(ProcessQuestion.process(reading: reply) == "curl (4711)")
        #expect(ProcessQuestion.process(reading: [0, 0, 0, 1]) == " (1)")
        #expect(ProcessQuestion.process(reading: [0]) == nil)
        #expect(ProcessQuestion.process(reading: [0, 0, 0, 1, 0xff]) == "\u{fffd} (1)")
        let long = ProcessQuestion.reply(process: 1, name: String(repeating: "x", count: 1_000))
        #expect(long.count == ProcessQuestion.maximumReply)
    }
}
