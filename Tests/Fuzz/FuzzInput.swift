/// libFuzzer's bytes, consumed from the front; after the last one everything is zero or empty.
struct FuzzInput {
    private var octets: ArraySlice<UInt8>

    init(_ octets: [UInt8]) {
        self.octets = octets[...]
    }

    var isEmpty: Bool { octets.isEmpty }

    mutating func octet() -> UInt8 { octets.popFirst() ?? 0 }

    mutating func integer16() -> UInt16 { UInt16(octet()) << 8 | UInt16(octet()) }

    /// A number below a bound, at most 256.
    mutating func number(below bound: Int) -> Int { Int(octet()) % bound }

    /// Up to `count` bytes.
    mutating func take(_ count: Int) -> [UInt8] {
        defer { octets = octets.dropFirst(count) }
        return Array(octets.prefix(count))
    }

    /// All remaining bytes.
    mutating func rest() -> [UInt8] { take(octets.count) }

    /// All remaining bytes, cut where their first bytes say; the pieces join to the whole.
    mutating func pieces() -> (whole: [UInt8], pieces: [[UInt8]]) {
        let steps = take(4).map { Int($0) + 1 }
        let whole = rest()
        guard !steps.isEmpty else { return (whole, [whole]) }
        var (start, pieces) = (0, [[UInt8]]())
        while start < whole.count {
            let end = min(start + steps[pieces.count % steps.count], whole.count)
            pieces.append(Array(whole[start..<end]))
            start = end
        }
        return (whole, pieces)
    }

    /// A `virtio_net_hdr` with any content.
    mutating func offload() -> VirtioNetHeader {
        let octets = take(VirtioNetHeader.length)
        do {
            return try VirtioNetHeader(reading: octets.span.bytes)
        } catch {
            return .finished
        }
    }

    /// The text of the remaining bytes, however damaged.
    mutating func text() -> String { String(decoding: rest(), as: UTF8.self) }

    /// The bytes up to the next zero byte.
    mutating func textUpToZero() -> String {
        let text = String(decoding: octets.prefix { $0 != 0 }, as: UTF8.self)
        octets = octets.drop { $0 != 0 }.dropFirst()
        return text
    }
}
