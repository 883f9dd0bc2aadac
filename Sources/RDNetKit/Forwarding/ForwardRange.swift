/// A forward's texts with a range of ports, taken apart into texts with single ports.
///
/// gvproxy knows no ranges: to it `:10000-10100` is an error. Here it stands for a forward for each
/// port, which can be listed and removed alone.
enum ForwardRange {
    /// The texts of the single ports on the host's side.
    ///
    /// - Parameter text: `[address]:port`, or with `first-last` in place of the port; anything else
    ///   stands for itself.
    /// - Returns: At least one text.
    static func expanded(_ text: String) -> [String] {
        guard let colon = text.utf8.lastIndex(of: UInt8(ascii: ":")),
            text[colon...].utf8.contains(UInt8(ascii: "-")),
            let ports = PortRange(text[colon...].dropFirst())
        else { return [text] }
        return (ports.first...ports.last).map { "\(text[...colon])\($0)" }
    }

    /// The pairs of texts of the single ports on both sides.
    ///
    /// - Throws: `ForwardError` when the sides have different lengths.
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
