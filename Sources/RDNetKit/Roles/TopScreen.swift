/// The screen of `ctl top`: what to show, and the lines for a size of terminal.
struct TopScreen {
    /// What flows are sorted by; the first is the default.
    enum Order: String, CaseIterable {
        case rate, total, age, delay, name

        /// The next one, and after the last the first.
        var next: Order {
            let all = Self.allCases
            let index = all.firstIndex(of: self) ?? 0
            return all[(index + 1) % all.count]
        }
    }

    /// Limits on the lines above the table of flows.
    private static let maximumLinks = 3
    private static let maximumQuestions = 4

    /// The address of the network's API.
    var network: String
    var order = Order.rate
    /// Only flows with this text somewhere; empty for all.
    var filter = ""
    /// The filter while it is typed; nil if it is not.
    var typed: String?
    var isPaused = false
    /// How many flows above the first shown one are passed over.
    var offset = 0
    /// The question that the keys answer.
    var selected = 0
    /// The result of the last key; empty for none.
    var message = ""

    private static let bold = "\u{1b}[1m"
    private static let inverse = "\u{1b}[7m"
    private static let plain = "\u{1b}[0m"

    /// The flows to show, sorted.
    func flows(of sample: TopSample) -> [TopSample.Flow] {
        let wanted = Array(filter.lowercased().utf8)
        var keys: [String] = []
        for (index, flow) in sample.flows.enumerated() {
            let texts = [flow.kind, flow.guest, flow.remote, flow.name, flow.state, flow.process]
            guard wanted.isEmpty || texts.contains(where: { has(wanted, in: $0) }) else { continue }
            keys.append("\(key(of: flow)) \(flow.guest) \(index)")
        }
        // The keys of equal flows end with their guests; a sort of texts exists already.
        return keys.sorted().compactMap { key in
            key.split(separator: " ").last.flatMap { Int($0) }.map { sample.flows[$0] }
        }
    }

    private func has(_ part: [UInt8], in text: String) -> Bool {
        let octets = Array(text.lowercased().utf8)
        return octets.indices.contains { octets[$0...].starts(with: part) }
    }

    /// A text that is the less, the earlier the flow is shown.
    private func key(of flow: TopSample.Flow) -> String {
        switch order {
        case .rate: "\(Self.descending(flow.rate)) \(Self.descending(flow.total))"
        case .total: Self.descending(flow.total)
        case .age: Self.digits(UInt64(max(flow.age, 0) * 1_000))
        case .delay: "\(Self.descending(flow.roundTrip ?? 0)) \(Self.descending(flow.total))"
        case .name: flow.place
        }
    }

    private static func descending(_ number: UInt64) -> String { digits(UInt64.max - number) }

    private static func digits(_ number: UInt64) -> String {
        let text = String(number)
        return String(repeating: "0", count: 20 - text.utf8.count) + text
    }

    /// The lines of the screen.
    ///
    /// - Parameters:
    ///   - sample: What is known.
    ///   - rows: Lines at most.
    ///   - columns: Characters in a line at most.
    /// - Returns: Lines with attributes of the terminal.
    func lines(_ sample: TopSample, rows: Int, columns: Int) -> [String] {
        let flows = flows(of: sample)
        let table = TopTable(columns: columns, hasProcesses: flows.contains { !$0.process.isEmpty })
        var lines = [Self.bold + cut(summary(sample), columns) + Self.plain]
        lines += linkLines(sample).map { cut($0, columns) }
        lines += [("dropped", sample.drops), ("failed", sample.failures)].compactMap {
            name,
            counts in
            counts.isEmpty ? nil : cut(Self.line(name, counts), columns)
        }
        lines += questionLines(sample, columns)
        lines.append(Self.inverse + pad(table.heading(order), columns) + Self.plain)
        let room = max(rows - lines.count - 1, 0)
        let first = min(offset, max(flows.count - room, 0))
        lines += flows.dropFirst(first).prefix(room).map { cut(table.row($0), columns) }
        lines = Array(lines.prefix(max(rows - 1, 0)))
        lines += [String](repeating: "", count: max(rows - 1 - lines.count, 0))
        return lines + [cut(lastLine(sample, flows.count), columns)]
    }

    private func summary(_ sample: TopSample) -> String {
        let up = sample.flows.reduce(0) { $0 &+ $1.upRate }
        let down = sample.flows.reduce(0) { $0 &+ $1.downRate }
        return "\(network)  \(sample.flowCount) flows  up \(OctetCount(up))/s  "
            + "down \(OctetCount(down))/s" + (isPaused ? "  PAUSED" : "")
    }

    private func linkLines(_ sample: TopSample) -> [String] {
        let lines = sample.links.prefix(Self.maximumLinks).map { link in
            "link \(link.number) \(link.name)  in \(OctetCount(link.receiveRate))/s  "
                + "out \(OctetCount(link.sendRate))/s"
                + (link.dropped > 0 ? "  dropped \(link.dropped)" : "")
        }
        let rest = sample.links.count - lines.count
        return sample.links.isEmpty
            ? ["no guest is connected"] : lines + (rest > 0 ? ["and \(rest) more links"] : [])
    }

    private static func line(_ name: String, _ counts: [TopSample.Count]) -> String {
        name + " "
            + counts.sorted { ($0.news, $0.count) > ($1.news, $1.count) }.map { count in
                "\(count.reason) \(count.count)" + (count.news > 0 ? " (+\(count.news))" : "")
            }.joined(separator: ", ")
    }

    /// The questions around the selected one.
    private func questionLines(_ sample: TopSample, _ columns: Int) -> [String] {
        guard !sample.questions.isEmpty else { return [] }
        let chosen = min(selected, sample.questions.count - 1)
        let first = max(chosen - Self.maximumQuestions + 1, 0)
        let shown = sample.questions.indices.dropFirst(first).prefix(Self.maximumQuestions)
        let lines = shown.map { index in
            let question = sample.questions[index]
            let process = question.text("process")
            let text = [
                index == chosen ? ">" : " ", "\(question.text("secondsLeft")) s",
                question.text("guest"), question.text("protocol"), question.text("destination"),
                question.text("name"), process.isEmpty ? "" : "by \(process)",
            ].filter { !$0.isEmpty }.joined(separator: " ").printable
            return index == chosen
                ? Self.bold + cut(text, columns) + Self.plain : cut(text, columns)
        }
        let title =
            "\(sample.questions.count) waiting for an answer: a allow  d deny  "
            + "A D from now on  Up Down choose"
        return [Self.inverse + pad(title, columns) + Self.plain] + lines
    }

    private func lastLine(_ sample: TopSample, _ shown: Int) -> String {
        if let typed { return "show only flows with: \(typed)_  (Enter: done, Esc: all)" }
        if !message.isEmpty { return message }
        let chosen = filter.isEmpty ? "" : "  [\(shown) with \"\(filter)\"]"
        return "q quit  s sort (\(order.rawValue))  / filter  p pause  j k scroll" + chosen
    }
}

/// The columns of flows that fit into a width.
struct TopTable {
    private static let guestWidth = 21
    private static let processWidth = 16
    /// The least width of the destination.
    private static let minimumPlace = 24
    /// All other columns, with the gaps between them.
    private static let fixedWidth = 56

    private let placeWidth: Int
    private let showsGuest: Bool
    private let showsProcess: Bool

    /// Chooses columns.
    init(columns: Int, hasProcesses: Bool) {
        var room = columns - Self.fixedWidth
        showsProcess = hasProcesses && room > Self.minimumPlace + Self.processWidth
        if showsProcess { room -= Self.processWidth + 1 }
        showsGuest = room > Self.minimumPlace + Self.guestWidth
        if showsGuest { room -= Self.guestWidth + 1 }
        placeWidth = max(room, 8)
    }

    /// The names of the columns; the one that is sorted by has a mark.
    func heading(_ order: TopScreen.Order) -> String {
        func mark(_ text: String, _ own: TopScreen.Order) -> String {
            order == own ? "*" + text : text
        }
        return line(
            [
                "KIND", "GUEST", mark("DESTINATION", .name), "STATE", mark("UP/S", .rate), "DOWN/S",
                mark("TOTAL", .total), mark("RTT", .delay), mark("AGE", .age), "PROCESS",
            ]
        )
    }

    /// The cells of a flow.
    func row(_ flow: TopSample.Flow) -> String {
        line(
            [
                flow.kind, flow.guest, place(flow), flow.state, Self.rate(flow.upRate),
                Self.rate(flow.downRate), "\(OctetCount(flow.total))",
                flow.roundTrip.map(Self.milliseconds) ?? "", Self.age(flow.age), flow.process,
            ]
        )
    }

    private func line(_ cells: [String]) -> String {
        var parts = [pad(cells[0], 4)]
        if showsGuest { parts.append(pad(cells[1], Self.guestWidth)) }
        parts += [pad(cells[2], placeWidth), pad(cells[3], 10)]
        parts += zip(cells[4...8], [7, 7, 7, 7, 6]).map { cell, width in
            String(repeating: " ", count: max(width - cell.count, 0)) + cut(cell, width)
        }
        if showsProcess { parts.append(cells[9]) }
        return parts.joined(separator: " ")
    }

    /// The destination, of which the port is not cut.
    private func place(_ flow: TopSample.Flow) -> String {
        guard flow.place.count > placeWidth, !flow.name.isEmpty,
            let port = Endpoint(flow.remote)?.port
        else { return flow.place }
        return cut(flow.name, placeWidth - "\(port)".count - 1) + ":\(port)"
    }

    private static func rate(_ octets: UInt64) -> String {
        octets == 0 ? "" : "\(OctetCount(octets))"
    }

    private static func milliseconds(_ microseconds: UInt64) -> String {
        if microseconds < 1_000 { return "\(microseconds) us" }
        return microseconds < 10_000
            ? "\(microseconds / 1_000).\(microseconds % 1_000 / 100) ms"
            : "\(min(microseconds / 1_000, 9_999)) ms"
    }

    private static func age(_ seconds: Double) -> String {
        let whole = UInt64(min(max(seconds, 0), 1e9))
        if whole < 100 { return "\(whole) s" }
        return whole < 6_000 ? "\(whole / 60) min" : "\(whole / 3_600) h"
    }
}

/// The text in at most so many characters, with an ellipsis where it was cut.
private func cut(_ text: String, _ width: Int) -> String {
    text.count <= width ? text : String(text.prefix(max(width - 1, 0))) + "…"
}

/// The text in exactly so many characters.
private func pad(_ text: String, _ width: Int) -> String {
    let text = cut(text, width)
    return text + String(repeating: " ", count: max(width - text.count, 0))
}
