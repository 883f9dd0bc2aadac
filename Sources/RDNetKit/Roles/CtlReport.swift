/// The API's documents as human-readable tables.
///
/// A value missing from a document is shown as a hyphen, because another program's document may
/// differ slightly.
enum CtlReport {
    /// Guests' addresses with their names and the rest of their leases; of another program's
    /// document the addresses and their owners, in the order of the addresses.
    static func leases(_ document: JSON, cellWidth: Int? = nil) -> String {
        if case .array(let leases) = document {
            return TextTable(
                columns: [.words("ADDRESS"), .words("MAC"), .words("NAME"), .numbers("EXPIRES")],
                rows: leases.map { lease in
                    ["address", "mac", "name"].map(lease.text) + [seconds(lease.text("expires"))]
                },
                cellWidth: cellWidth
            ).text
        }
        let leases = document.members.map { (address: $0.name, mac: $0.value.text) }
        return TextTable(
            columns: [.words("ADDRESS"), .words("MAC")],
            rows: leases.sorted { order($0.address) < order($1.address) }
                .map { [$0.address, $0.mac] },
            cellWidth: cellWidth
        ).text
    }

    /// Zones and their records in lookup order.
    static func names(_ document: JSON, cellWidth: Int? = nil) -> String {
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
            rows: rows,
            cellWidth: cellWidth
        ).text
    }

    /// The counters with nonzero values.
    static func statistics(_ document: JSON, cellWidth: Int? = nil) -> String {
        let counters = document.members.flatMap { numbers($0.value, named: $0.name) }
        let active = counters.filter { $0.value != "0" }
        let table = TextTable(
            columns: [.words("COUNTER"), .numbers("VALUE")],
            rows: active.map { counter in
                let word = counter.name.split(separator: ".").last ?? ""
                return [
                    counter.name, word.hasPrefix("Bytes") ? octets(counter.value) : counter.value,
                ]
            },
            cellWidth: cellWidth
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

    /// The guests' flows to the host's network: TCP first, then by guest.
    static func flows(_ document: JSON, cellWidth: Int? = nil) -> String {
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
            rows: rows,
            cellWidth: cellWidth
        ).text + notes
    }

    /// The links in the order of attachment.
    static func links(_ document: JSON, cellWidth: Int? = nil) -> String {
        TextTable(
            columns: [
                .numbers("ID"), .words("NAME"), .words("FORMAT"), .numbers("AGE"),
                .numbers("IDLE"), .numbers("IN"), .numbers("OUT"), .numbers("QUEUED"),
                .numbers("MALFORMED"), .numbers("DROPPED"), .words("GUESTS"),
            ],
            rows: document.elements.map { link in
                ["id", "name", "format"].map(link.text)
                    + ["age", "idle"].map { seconds(link.text($0)) }
                    + ["bytesReceived", "bytesSent", "queued"].map { octets(link.text($0)) }
                    + ["malformed", "dropped"].map(link.text) + [guests(on: link)]
            },
            cellWidth: cellWidth
        ).text
    }

    /// The guests on a link: of each its MAC address, its addresses and its name.
    private static func guests(on link: JSON) -> String {
        let guests = (link.member("guests")?.elements ?? []).map { guest in
            let addresses = guest.member("addresses")?.elements ?? []
            let words = [guest.text("mac")] + addresses.map(\.text) + [guest.text("name")]
            return words.filter { !$0.isEmpty }.joined(separator: " ")
        }
        return guests.joined(separator: ", ")
    }

    /// Whether a capture is running, and its file.
    static func capture(_ document: JSON, cellWidth: Int? = nil) -> String {
        let state = document.member("on") == .bool(true) ? "on" : "off"
        let fault = document.text("fault")
        let lost = fault.isEmpty ? "" : "; it is losing frames: \(fault)"
        return "the capture is \(state); its file is \(document.text("file"))\(lost)".printable
            + "\n"
    }

    // MARK: Texts

    /// Bytes in a human-friendly unit.
    static func octets(_ digits: String) -> String {
        UInt64(digits).map { "\(OctetCount($0))" } ?? digits
    }

    /// Seconds in a human-friendly unit.
    static func seconds(_ digits: String) -> String {
        guard let seconds = Double(digits) else { return digits }
        if seconds < 60 { return "\((seconds * 10).rounded(.down) / 10) s" }
        let minutes = Int(min(seconds, 1e9)) / 60
        return minutes < 120 ? "\(minutes) min" : "\(minutes / 60) h"
    }

    /// The sort key of an address with an optional port.
    private static func order(_ text: String) -> AddressOrder {
        if let endpoint = Endpoint(text) {
            return AddressOrder(octets: endpoint.address.octets, port: endpoint.port, text: "")
        }
        if let address = IPAddress(text) {
            return AddressOrder(octets: address.octets, port: 0, text: "")
        }
        return AddressOrder(octets: [], port: 0, text: text)
    }

    /// Orders addresses numerically, before any other text.
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
