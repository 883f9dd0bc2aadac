/// HTTP requests and responses: a message in pieces equals the message in one piece.
enum HTTPFuzz {
    static func run(_ input: FuzzInput) {
        runFuzzCase(
            input,
            [
                { compare(&$0, HTTPRequestHead.self) }, { compare(&$0, HTTPResponseHead.self) },
                path,
            ]
        )
    }

    private static func compare<Head: HTTPMessageHead>(_ input: inout FuzzInput, _: Head.Type) {
        let (whole, pieces) = input.pieces()
        let (one, many) = (outcome([whole], Head.self), outcome(pieces, Head.self))
        mustHold(one == many, "the cuts change the messages")
    }

    private static func outcome<Head: HTTPMessageHead>(
        _ pieces: [[UInt8]],
        _: Head.Type
    ) -> [HTTPMessage<Head>] {
        var (reader, found) = (HTTPMessageReader<Head>(), [HTTPMessage<Head>]())
        for piece in pieces {
            piece.withUnsafeBytes { reader.append($0) }
            do {
                while true {
                    let progress = try reader.next()
                    if case .message(let message) = progress { found.append(message) }
                    if progress == .needsMore { break }
                }
            } catch {
                return found
            }
        }
        if let last = reader.finishAtEnd() { found.append(last) }
        return found
    }

    /// A decoded path that is encoded again leads to the same place, and none leads upwards.
    private static func path(_ input: inout FuzzInput) {
        let text = input.text()
        _ = URLQuery(text).parameters
        guard let decoded = URLPath.decoded(text) else { return }
        mustHold(URLPath.decoded(URLPath.encoded(decoded)) == decoded, "\(decoded)")
        let cleaned = URLPath.cleaned(decoded)
        let segments = Array(cleaned.utf8).split(separator: UInt8(ascii: "/"))
        let isInside = cleaned.utf8.first == UInt8(ascii: "/") && !segments.contains([46, 46])
        mustHold(isInside && URLPath.cleaned(cleaned) == cleaned, "\(cleaned)")
    }
}
