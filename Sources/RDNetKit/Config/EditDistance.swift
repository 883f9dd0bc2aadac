/// The distance between two words, for "did you mean".
enum EditDistance {
    /// The number of insertions, deletions, replacements and swaps of adjacent letters between two
    /// words.
    ///
    /// This is the optimal string alignment distance: no part of a word is edited twice.
    static func between(_ one: String, _ other: String) -> Int {
        let (left, right) = (Array(one.utf8), Array(other.utf8))
        var beforeLast: [Int] = []
        var last = Array(0...right.count)
        for row in left.indices {
            var current = [row + 1]
            for column in right.indices {
                let replaced = last[column] + (left[row] == right[column] ? 0 : 1)
                var best = min(replaced, last[column + 1] + 1, current[column] + 1)
                if row > 0, column > 0, left[row] == right[column - 1],
                    left[row - 1] == right[column]
                {
                    best = min(best, beforeLast[column - 1] + 1)
                }
                current.append(best)
            }
            (beforeLast, last) = (last, current)
        }
        return last[right.count]
    }

    /// The likely intended candidate: at most half of the longer word differs.
    static func likely(for word: String, in candidates: [String]) -> String? {
        guard let nearest = nearest(to: word, in: candidates),
            between(word, nearest) * 2 <= max(word.utf8.count, nearest.utf8.count)
        else { return nil }
        return nearest
    }

    /// The candidate with the fewest edits, the first one of several; nil without candidates.
    ///
    /// Only the first 64 bytes of a word are compared, so the work is bounded.
    static func nearest(to word: String, in candidates: [String]) -> String? {
        let word = String(decoding: word.utf8.prefix(64), as: UTF8.self)
        return candidates.min { between(word, $0) < between(word, $1) }
    }
}
