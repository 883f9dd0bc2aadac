/// The document that `ctl` posts to add a name.
enum CtlZone {
    /// Returns the zone to post so that the API answers a name in addition to its existing names.
    ///
    /// The first zone that is a suffix of a name answers it. Adding to a zone replaces its default
    /// address, so the document repeats that address.
    ///
    /// - Parameters:
    ///   - name: Contains a dot, but not at its end.
    ///   - address: The name's address.
    ///   - zones: All existing zones.
    /// - Returns: The document to post.
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
