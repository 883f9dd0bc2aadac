import Testing

@testable import RDNetKit

/// The bytes are those of Linux 6.1's client, and of a server that it accepted.
@Suite("9P2000 messages")
struct NinePTests {
    private func octets(_ text: String) -> [UInt8] {
        let digits = text.filter { !$0.isWhitespace }.map {
            $0.hexDigitValue.map { UInt8($0) } ?? 0
        }
        return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
    }

    private func read(_ text: String, _ dialect: NinePDialect = .plain) -> NinePRequest {
        NinePRequest(octets(text), in: dialect)
    }

    @Test func `version: size, type, tag, the longest message, the dialect`() {
        let request = read("15000000 64 ffff 00000200 0800 3950323030302e4c")
        #expect(request.tag == NinePRequest.noTag)
        #expect(request.call == .version(maximumLength: 131_072, dialect: "9P2000.L"))
        let reply = NinePReply.version(maximumLength: 16_384, dialect: "9P2000")
        #expect(
            reply.octets(tag: 0xffff, in: .plain)
                == octets("13000000 65 ffff 00400000 0600 395032303030")
        )
    }

    @Test func `attach: fid, no authentication, two names; the root`() {
        let request = read("19000000 68 0000 00000000 ffffffff 0600 6e6f626f6479 0000")
        #expect(request.call == .attach(fid: 0))
        let root = NinePFile(name: "", number: 0, isDirectory: true, permissions: 0o777)
        #expect(
            NinePReply.attach(root).octets(tag: 0, in: .plain)
                == octets("14000000 69 0000 80 00000000 0000000000000000")
        )
    }

    @Test func `stat: the record is behind its length, twice`() {
        #expect(read("0b000000 7c 0000 00000000").call == .stat(fid: 0))
        let root = NinePFile(name: "", number: 1, isDirectory: true, permissions: 0o777)
        #expect(
            NinePReply.stat(root).octets(tag: 0, in: .plain)
                == octets(
                    """
                    44000000 7d 0000 3b00 3900 ffff ffffffff 80 00000000 0100000000000000
                    ff010080 a96e5944 a96e5944 0000000000000000 0000 0300756964 0300676964
                    04006d756964
                    """
                )
        )
    }

    @Test func `errors have a number in 9P2000.u only`() {
        let reply = NinePReply.error(.notFound)
        let plain = octets("17000000 6b 0000 0e00 66696c65206e6f7420666f756e64")
        #expect(reply.octets(tag: 0, in: .plain) == plain)
        #expect(reply.octets(tag: 0, in: .unix) == [0x1b] + plain[1...] + [2, 0, 0, 0])
    }

    @Test func `walk: both fids, the number of names, the names`() {
        #expect(
            read("11000000 6e 0000 00000000 01000000 0000").call
                == .walk(fid: 0, newFid: 1, names: [])
        )
        #expect(
            read("16000000 6e 0000 01000000 02000000 0100 0300 63746c").call
                == .walk(fid: 1, newFid: 2, names: ["ctl"])
        )
        #expect(NinePReply.walk([]).octets(tag: 0, in: .plain) == octets("09000000 6f 0000 0000"))
        let file = NinePFile(name: "ctl", number: 0x1f, permissions: 0o666)
        #expect(
            NinePReply.walk([file]).octets(tag: 0, in: .plain)
                == octets("16000000 6f 0000 0100 00 00000000 1f00000000000000")
        )
    }

    @Test func `create and open: the file and the longest piece`() {
        #expect(
            read("15000000 72 0000 01000000 0300 776562 00000080 00").call
                == .create(fid: 1, name: "web", permissions: 0x8000_0000)
        )
        let directory = NinePFile(name: "web", number: 0x1a, isDirectory: true, permissions: 0o555)
        #expect(
            NinePReply.create(directory, unit: 512).octets(tag: 0, in: .plain)
                == octets("18000000 73 0000 80 00000000 1a00000000000000 00020000")
        )
        #expect(read("0c000000 70 0000 03000000 02").call == .open(fid: 3, mode: 2))
        let file = NinePFile(name: "ctl", number: 0x21, permissions: 0o666)
        #expect(
            NinePReply.open(file, unit: 32_768).octets(tag: 0, in: .plain)
                == octets("18000000 71 0000 00 00000000 2100000000000000 00800000")
        )
    }

    @Test func `read, write, clunk, remove and flush`() {
        #expect(
            read("1a000000 76 0000 03000000 0000000000000000 03000000 616263").call
                == .write(fid: 3, offset: 0, octets: Array("abc".utf8))
        )
        #expect(
            NinePReply.write(count: 36).octets(tag: 0, in: .plain)
                == octets("0b000000 77 0000 24000000")
        )
        #expect(
            read("17000000 74 0000 03000000 0000000000000000 64000000").call
                == .read(fid: 3, offset: 0, count: 100)
        )
        #expect(
            NinePReply.read(Array("OK\n".utf8)).octets(tag: 0, in: .plain)
                == octets("0e000000 75 0000 03000000 4f4b0a")
        )
        #expect(read("0b000000 78 0000 03000000").call == .clunk(fid: 3))
        #expect(NinePReply.clunk.octets(tag: 0, in: .plain) == octets("07000000 79 0000"))
        #expect(read("0b000000 7a 0100 03000000").call == .remove(fid: 3))
        #expect(NinePReply.remove.octets(tag: 1, in: .plain) == octets("07000000 7b 0100"))
        #expect(read("09000000 6c 0200 0100").call == .flush(tag: 1))
        #expect(NinePReply.flush.octets(tag: 2, in: .plain) == octets("07000000 6d 0200"))
    }

    @Test func `wstat: a shell's truncation is recognized, a new name is not`() {
        let unchanged = "ffff ffffffff ff ffffffff ffffffffffffffff ffffffff ffffffff"
        let truncation =
            "3d000000 7e 0000 03000000 3200 3000 \(unchanged) 11223344 0000000000000000"
        #expect(
            read(truncation + "0000 0000 0000 0000").call
                == .setStat(fid: 3, NinePStatChange(onlyTruncates: true))
        )
        #expect(
            read(truncation + "0100 78 0000 0000 0000").call
                == .setStat(fid: 3, NinePStatChange(onlyTruncates: false))
        )
        #expect(
            read(truncation.replacing("11223344 0000", with: "11223344 0100") + "0000000000000000")
                .call == .setStat(fid: 3, NinePStatChange(onlyTruncates: false))
        )
    }

    @Test(
        "a message that is cut short, or of another type, has a tag and nothing else",
        arguments: [
            "07000000 6e 0500", "15000000 6e 0500 00000000 01000000 0100 0900 63746c",
            "17000000 76 0500 03000000 0000000000000000 00000001", "07000000 01 0500",
            "13000000 6e 0500 00000000 01000000 ffff 0000",
        ]
    )
    func damaged(text: String) {
        let request = read(text)
        #expect(request.tag == 5)
        #expect(request.call == nil)
    }

    @Test func `a client is offered its own dialect or the plain one`() {
        #expect(NinePDialect(for: "9P2000.u") == .unix)
        #expect(NinePDialect(for: "9P2000.L") == .plain)
        #expect(NinePDialect(for: "9P2000") == .plain)
        #expect(NinePDialect(for: "NFS") == nil)
    }
}
