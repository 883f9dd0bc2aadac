/// Pipes for relays, which need one only while data is in flight.
///
/// A relay whose peer keeps up returns its pipe within the same turn, so one pipe serves all of
/// these relays; a relay whose peer does not accept everything keeps its pipe. When all pipes are
/// kept, the other relays copy their data.
struct SplicePipePool {
    /// Limit on pipes; each has two descriptors and holds up to 1 MiB.
    static let limit = 64

    private var free: [SplicePipe] = []
    private var taken = 0

    /// Returns an empty pipe; nil if the limit is reached or the kernel refuses.
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

    /// Takes a pipe back; a pipe that still holds data is closed.
    mutating func giveBack(_ pipe: SplicePipe) {
        taken -= 1
        if pipe.count == 0 { free.append(pipe) }
    }
}
