/// Pipes for relays, which need one only while octets are under way.
///
/// A relay whose peer keeps up gives its pipe back within the same turn, so that one serves them
/// all; a relay whose peer does not take everything keeps it. When all are kept there are no more:
/// the others' octets are copied then.
struct SplicePipePool {
    /// Pipes at most, with two descriptors each, and 1 MiB of octets in each.
    static let limit = 64

    private var free: [SplicePipe] = []
    private var taken = 0

    /// A pipe with nothing inside; nil when there are no more.
    mutating func take() -> SplicePipe? {
        if let pipe = free.popLast() {
            taken += 1
            return pipe
        }
        guard taken < Self.limit else { return nil }
        do {
            let pipe = try SplicePipe()
            taken += 1
            return pipe
        } catch {
            return nil
        }
    }

    /// Takes a pipe back; one with octets inside is closed.
    mutating func giveBack(_ pipe: SplicePipe) {
        taken -= 1
        if pipe.count == 0 { free.append(pipe) }
    }
}
