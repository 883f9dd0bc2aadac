import Glibc
import Testing

@testable import RDNetKit

@Suite("queue to a socket of packets")
struct PacketOutputTests {
    /// Creates a queue with this many 60-byte frames.
    private func queue(_ count: Int) -> PacketOutput {
        var output = PacketOutput(mtu: 1500)
        var counters = LinkCounters()
        for _ in 0..<count {
            _ = output.reserve(60, .control, &counters)
            output.commit(60, .finished, &counters)
        }
        #expect(counters.framesSent == count)
        return output
    }

    /// The kernel's answer to one system call: packets taken, none for now, or an error.
    private enum Answer {
        case taken(Int)
        case blocked
        case failed(Int32)
    }

    private func drain(
        _ output: inout PacketOutput,
        _ answers: [Answer]
    ) throws(SystemError) -> (gone: Int, dropped: UInt64, calls: [Int]) {
        var counters = LinkCounters()
        var rest = answers[...]
        var calls: [Int] = []
        let gone = try output.drain(&counters) { (batch) throws(SystemError) in
            calls.append(batch.count)
            switch rest.popFirst() {
            case .taken(let count): return count
            case .failed(let code): throw SystemError(call: "sendmmsg", errno: code)
            case .blocked, nil: return nil
            }
        }
        return (gone, counters.dropped, calls)
    }

    @Test func `frames leave 64 at a time, and what is not taken comes first the next time`() throws
    {
        var output = queue(150)
        var result = try drain(&output, [.taken(64), .taken(10), .blocked])
        #expect(result.calls == [64, 64, 64])
        #expect(result.gone == 74 && result.dropped == 0)
        result = try drain(&output, [.taken(64), .taken(12)])
        #expect(result.calls == [64, 12])
        let isEmpty = output.isEmpty
        #expect(isEmpty && result.gone == 76)
    }

    @Test(
        "a packet that is refused for its own sake or for want of memory is dropped alone",
        arguments: [ENOBUFS, ENOMEM, EMSGSIZE]
    )
    func refused(code: Int32) throws {
        var output = queue(5)
        let result = try drain(&output, [.taken(1), .failed(code), .failed(code), .taken(2)])
        #expect(result.calls == [5, 4, 3, 2])
        #expect(result.gone == 5 && result.dropped == 2)
        let isEmpty = output.isEmpty
        #expect(isEmpty)
    }

    @Test("nobody to send to is the link's business", arguments: [ECONNREFUSED, ENOENT, EPIPE])
    func nobody(code: Int32) {
        var output = queue(3)
        #expect(throws: SystemError(call: "sendmmsg", errno: code)) {
            _ = try drain(&output, [.taken(1), .failed(code)])
        }
    }

    @Test func `what has waited too long is thrown away and counted`() {
        var output = queue(90)
        var counters = LinkCounters()
        output.removeAll(&counters)
        let isEmpty = output.isEmpty
        #expect(isEmpty && counters.dropped == 90)
    }
}
