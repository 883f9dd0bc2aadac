/// What `ctl` posts to have one more name answered.
enum CtlZone {
    /// The zone to post that makes the API answer a name, besides what it answers already.
    ///
    /// The first zone that a name ends in is the one that answers. Adding to it replaces its
    /// default address, so that is said again.
    ///
    /// - Parameters:
    ///   - name: With a dot in it, and none at its end.
    ///   - address: What it stands for.
    ///   - zones: All there are.
    /// - Returns: What is to be posted.
    static func adding(_ name: String, _ address: IPAddress, to zones: JSON) -> JSON {
        let lowered = name.lowercased() + "."
        let present = zones.elements.first {
            lowered.hasSuffix("." + $0.text("Name").lowercased()) && !$0.text("Name").isEmpty
        }
        let dot = lowered.firstIndex(of: ".") ?? lowered.startIndex
        let zone = present?.text("Name") ?? String(lowered[lowered.index(after: dot)...])
        let record = [
            JSON.Member("Name", .string(String(lowered.dropLast(zone.count + 1)))),
            JSON.Member("IP", .string("\(address)")),
        ]
        let fallback = present?.text("DefaultIP") ?? ""
        return .object(
            [
                JSON.Member("Name", .string(zone)),
                JSON.Member("Records", .array([.object(record)])),
            ] + (fallback.isEmpty ? [] : [JSON.Member("DefaultIP", .string(fallback))])
        )
    }
}
