/// The API's documents as tables for people.
///
/// What a document does not say is shown as a hyphen: another program's may be a little different.
enum CtlReport {
    /// The host's ports that lead to guests, in the API's order, which is that of their names.
    static func forwards(_ document: JSON) -> String {
        TextTable(
            columns: [.words("PROTOCOL"), .words("LOCAL"), .words("REMOTE")],
            rows: document.elements.map { forward in
                ["protocol", "local", "remote"].map(forward.text)
            }
        ).text
    }

    /// Addresses and who has them, in the order of the addresses.
    static func leases(_ document: JSON) -> String {
        let leases = document.members.map { (address: $0.name, mac: $0.value.text) }
        return TextTable(
            columns: [.words("ADDRESS"), .words("MAC")],
            rows: leases.sorted { order($0.address) < order($1.address) }
                .map { [$0.address, $0.mac] }
        ).text
    }

    /// Zones and their records in the order in which they are looked at.
    static func names(_ document: JSON) -> String {
        var rows: [[String]] = []
        for zone in document.elements {
            let name = zone.text("Name")
            let records = zone.member("Records")?.elements ?? []
            rows += records.map { record in
                let pattern = record.text("Regexp")
                return [
                    name, pattern.isEmpty ? record.text("Name") : "/\(pattern)/", record.text("IP"),
                ]
            }
            let fallback = zone.text("DefaultIP")
            if !fallback.isEmpty || records.isEmpty {
                rows.append([name, fallback.isEmpty ? "" : "*", fallback])
            }
        }
        return TextTable(
            columns: [.words("ZONE"), .words("NAME"), .words("ADDRESS")],
            rows: rows
        ).text
    }

    /// The counters that have counted.
    static func statistics(_ document: JSON) -> String {
        let counters = document.members.flatMap { numbers($0.value, named: $0.name) }
        let active = counters.filter { $0.value != "0" }
        let table = TextTable(
            columns: [.words("COUNTER"), .numbers("VALUE")],
            rows: active.map { counter in
                let word = counter.name.split(separator: ".").last ?? ""
                return [
                    counter.name, word.hasPrefix("Bytes") ? octets(counter.value) : counter.value,
                ]
            }
        )
        let zeros = counters.count - active.count
        return table.text + (zeros > 0 ? "\(zeros) more are 0\n" : "")
    }

    private static func numbers(_ value: JSON, named name: String) -> [(
        name: String, value: String
    )] {
        if case .object(let members) = value {
            return members.flatMap { numbers($0.value, named: "\(name).\($0.name)") }
        }
        return [(name, value.text)]
    }

    /// What guests have open towards the host's network, TCP first, by guest.
    static func flows(_ document: JSON) -> String {
        var rows: [[String]] = []
        var notes = ""
        for kind in ["tcp", "udp", "echo"] {
            let flows = document.member(kind)?.elements ?? []
            let sorted = flows.sorted {
                let (left, right) = (order($0.text("guest")), order($1.text("guest")))
                return left == right
                    ? order($0.text("remote")) < order($1.text("remote")) : left < right
            }
            rows += sorted.map { flow in
                [
                    kind, flow.text("guest"), flow.text("remote"), flow.text("phase"),
                    octets(flow.text("bytesToHost")), octets(flow.text("bytesToGuest")),
                    seconds(flow.text("age")), seconds(flow.text("idle")),
                ]
            }
            let total = Int(document.member("total")?.text(kind) ?? "") ?? flows.count
            if total > flows.count {
                notes += "\(flows.count) of \(total) \(kind) flows are shown\n"
            }
        }
        return TextTable(
            columns: [
                .words("KIND"), .words("GUEST"), .words("REMOTE"), .words("STATE"),
                .numbers("TO HOST"), .numbers("TO GUEST"), .numbers("AGE"), .numbers("IDLE"),
            ],
            rows: rows
        ).text + notes
    }

    /// The links in the order in which they came.
    static func links(_ document: JSON) -> String {
        TextTable(
            columns: [
                .numbers("ID"), .words("NAME"), .words("FORMAT"), .numbers("FRAMES IN"),
                .numbers("FRAMES OUT"), .numbers("IN"), .numbers("OUT"), .numbers("MALFORMED"),
                .numbers("DROPPED"), .words("ADDRESSES"),
            ],
            rows: document.elements.map { link in
                let addresses = link.member("addresses")?.elements ?? []
                return ["id", "name", "format", "framesReceived", "framesSent"].map(link.text)
                    + ["bytesReceived", "bytesSent"].map { octets(link.text($0)) }
                    + ["malformed", "dropped"].map(link.text)
                    + [addresses.map(\.text).joined(separator: " ")]
            }
        ).text
    }

    /// Whether frames are written to a file.
    static func capture(_ document: JSON) -> String {
        let state = document.member("on") == .bool(true) ? "on" : "off"
        return "the capture is \(state); its file is \(document.text("file").printable)\n"
    }

    // MARK: Texts

    private static func octets(_ digits: String) -> String {
        UInt64(digits).map { "\(OctetCount($0))" } ?? digits
    }

    /// Seconds in the unit in which a person would say them.
    private static func seconds(_ digits: String) -> String {
        guard let seconds = Double(digits) else { return digits }
        if seconds < 60 { return "\((seconds * 10).rounded(.down) / 10) s" }
        let minutes = Int(min(seconds, 1e9)) / 60
        return minutes < 120 ? "\(minutes) min" : "\(minutes / 60) h"
    }

    /// What an address, perhaps with a port behind it, is sorted by.
    private static func order(_ text: String) -> AddressOrder {
        if let endpoint = Endpoint(text) {
            return AddressOrder(octets: endpoint.address.octets, port: endpoint.port, text: "")
        }
        if let address = IPAddress(text) {
            return AddressOrder(octets: address.octets, port: 0, text: "")
        }
        return AddressOrder(octets: [], port: 0, text: text)
    }

    /// Addresses by their numbers, then what is none.
    private struct AddressOrder: Comparable {
        let octets: [UInt8]
        let port: UInt16
        let text: String

        static func < (left: AddressOrder, right: AddressOrder) -> Bool {
            if left.octets.count != right.octets.count {
                return left.octets.count > right.octets.count
            }
            if left.octets != right.octets {
                return left.octets.lexicographicallyPrecedes(right.octets)
            }
            return (left.port, left.text) < (right.port, right.text)
        }
    }
}

/// What a reader of the API's documents asks of them.
extension JSON {
    /// An array's elements; none of anything else.
    var elements: [JSON] {
        if case .array(let elements) = self { elements } else { [] }
    }

    /// An object's members; none of anything else.
    var members: [Member] {
        if case .object(let members) = self { members } else { [] }
    }

    /// A text or a number as it is; empty for anything else.
    var text: String {
        switch self {
        case .string(let text), .number(let text): text
        case .bool(let value): "\(value)"
        case .null, .array, .object: ""
        }
    }

    /// A member's text; empty when there is none.
    func text(_ name: String) -> String {
        member(name)?.text ?? ""
    }
}
