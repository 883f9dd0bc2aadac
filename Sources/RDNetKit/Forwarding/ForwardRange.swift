/// Splits a forward's texts with a port range into texts with single ports.
///
/// gvproxy does not support ranges and rejects `:10000-10100`. Here a range stands for one forward
/// per port, and each of them can be listed and removed separately.
enum ForwardRange {
    /// Returns the texts of the single ports on the host's side.
    ///
    /// - Parameter text: `[address]:port`, or `first-last` in place of the port; any other text is
    ///   returned unchanged.
    /// - Returns: At least one text.
    static func expanded(_ text: String) -> [String] {
        guard let colon = text.utf8.lastIndex(of: UInt8(ascii: ":")),
            text[colon...].utf8.contains(UInt8(ascii: "-")),
            let ports = PortRange(text[colon...].dropFirst())
        else { return [text] }
        return (ports.first...ports.last).map { "\(text[...colon])\($0)" }
    }

    /// Returns the pairs of texts of the single ports on both sides.
    ///
    /// - Throws: `ForwardError` if the sides have different lengths.
    static func pairs(
        _ local: String,
        _ remote: String
    ) throws(ForwardError) -> [(local: String, remote: String)] {
        let (locals, remotes) = (expanded(local), expanded(remote))
        guard locals.count == remotes.count else {
            throw .differentLengths(local: local, remote: remote)
        }
        return zip(locals, remotes).map { (local: $0, remote: $1) }
    }
}
