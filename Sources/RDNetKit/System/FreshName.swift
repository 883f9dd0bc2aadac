/// Names of temporary files that no other file has.
enum FreshName {
    /// Returns a hidden name with 64 random bits.
    ///
    /// Its length does not depend on the file that it replaces, so it fits where that file fits.
    static func make() -> String {
        var random = SystemRandom()
        return ".rdnet-" + String(random.next(), radix: 36)
    }

    /// Returns the path of a fresh name in the directory of another file.
    static func beside(_ path: String) -> String {
        guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return make() }
        return path[...slash] + make()
    }
}
