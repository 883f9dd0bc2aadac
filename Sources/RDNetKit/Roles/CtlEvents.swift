/// The commands of `ctl` that print what happens.
extension CtlSession {
    /// Limit on a line, which no event reaches.
    private static let maximumLine = 64 << 10
    private static let patience: Duration = .seconds(3_600)

    /// Prints a line for each event until the API ends.
    ///
    /// - Parameters:
    ///   - kinds: Those to print; all of them if it is empty.
    ///   - asText: Whether people read them.
    /// - Throws: `APIFailure`, also at the network's end.
    func follow(_ kinds: [EventKind], asText: Bool) throws(APIFailure) {
        let types = kinds.map(\.rawValue).joined(separator: ",")
        let query = types.isEmpty ? "" : "?type=\(types)"
        let body = try client.openBody(of: EventAPI.path + query)
        var rest = body.start
        while true {
            try printLines(of: &rest, asText)
            guard rest.count <= Self.maximumLine else {
                throw .noAnswer(client.address, reason: "this is not a list of events")
            }
            do throws(SystemError) {
                let octets = try body.stream.receive(upTo: Self.maximumLine, within: Self.patience)
                if octets.isEmpty { break }
                rest += octets
            } catch {
                guard error.isTimeout else { break }
            }
        }
        throw .noAnswer(client.address, reason: "the network has ended")
    }

    /// Prints the lines that are complete, and keeps the rest.
    private func printLines(of octets: inout [UInt8], _ asText: Bool) throws(APIFailure) {
        guard let end = octets.lastIndex(of: 0x0a) else { return }
        var text = ""
        for line in octets[..<end].split(separator: 0x0a) {
            text +=
                asText
                ? CtlReport.flowEvent(try parse(Array(line), EventAPI.path))
                : String(decoding: line, as: UTF8.self).printableJSON + "\n"
        }
        octets.removeFirst(end + 1)
        printOutput(text)
    }
}

extension CtlReport {
    /// An event of a flow on one line.
    static func flowEvent(_ event: JSON) -> String {
        let what = event.text("event")
        if what == "lost" { return "\(event.text("count")) events are lost\n".printableLines }
        let time = event.text("time").split(separator: "T").last?.prefix(8) ?? ""
        let name = event.text("name")
        var text = "\(time) \(what) \(event.text("protocol")) \(event.text("guest"))"
        if event.member("remote") != nil { text += " to \(event.text("remote"))" }
        if !name.isEmpty { text += " (\(name))" }
        if what == "failed" { text += ": \(event.text("reason").inWords)" }
        if event.member("age") != nil {
            text +=
                ": \(octets(event.text("bytesToHost"))) sent, "
                + "\(octets(event.text("bytesToGuest"))) received in \(seconds(event.text("age")))"
        }
        return text.printable + "\n"
    }
}
