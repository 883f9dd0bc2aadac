/// What a client of the API wants to capture.
struct CaptureWish {
    var filter: CaptureFilter
    /// The number of frames after which the capture ends; nil for no limit.
    var frames: UInt64?
    /// The bytes of frames after which it ends; nil for no limit.
    var octets: UInt64?

    /// Every frame, without an end.
    static var everything: CaptureWish { CaptureWish() }

    /// Whether it has all that it wants.
    var isMet: Bool { frames == 0 }

    private init() {
        filter = .everything
    }

    /// Reads texts by name: `filter`, `frames` and `bytes`.
    ///
    /// - Throws: `CaptureWishError` with what was expected.
    init(_ text: (String) -> String?) throws(CaptureWishError) {
        do {
            filter = try CaptureFilter(text("filter") ?? "")
        } catch {
            throw CaptureWishError(description: "filter: \(error)")
        }
        frames = try Self.number("frames", text)
        octets = try Self.number("bytes", text)
    }

    private static func number(
        _ name: String,
        _ text: (String) -> String?
    ) throws(CaptureWishError) -> UInt64? {
        guard let text = text(name), !text.isEmpty else { return nil }
        guard let number = UInt64(text), number > 0 else {
            throw CaptureWishError(description: "\(name): expected a number above 0")
        }
        return number
    }

    /// Whether it wants a frame, now that it has not all.
    func wants(_ frame: Frame) -> Bool {
        !isMet && (filter.isEmpty || filter.matches(frame.octets.bytes))
    }

    /// Counts a frame that was captured.
    mutating func took(_ frame: Frame) {
        if let rest = frames { frames = rest - 1 }
        guard let rest = octets else { return }
        let count = UInt64(frame.octets.count)
        octets = rest > count ? rest - count : 0
        if octets == 0 { frames = 0 }
    }
}

/// Why a capture was not started, in one sentence.
struct CaptureWishError: Error, Equatable, CustomStringConvertible {
    let description: String
}
