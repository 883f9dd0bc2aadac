/// The content of `/links`.
enum LinkReport {
    /// Returns each link with its number, its counters and the MAC addresses learned on it.
    static func links(of ethernet: VirtualEthernet) -> JSON {
        let addresses = Dictionary(grouping: ethernet.addresses, by: \.link)
        return .array(
            ethernet.numbered.map { number, link in
                json(number, link, addresses[number, default: []].map(\.mac))
            }
        )
    }

    private static func json(
        _ number: Int,
        _ link: any FrameLink,
        _ addresses: [MACAddress]
    ) -> JSON {
        let counters = link.counters
        let numbers = [
            ("framesReceived", counters.framesReceived), ("framesSent", counters.framesSent),
            ("bytesReceived", counters.octetsReceived), ("bytesSent", counters.octetsSent),
            ("malformed", counters.malformed), ("dropped", counters.dropped),
        ]
        return .object(
            [
                JSON.Member("id", .integer(UInt64(number))),
                JSON.Member("name", .string(link.name)),
                JSON.Member("format", .string(link.format.map { "\($0)" } ?? "frame")),
            ] + numbers.map { JSON.Member($0, .integer($1)) }
                + [
                    JSON.Member("addresses", .array(addresses.map { .string("\($0)") })),
                    JSON.Member("offload", .bool(link.receivesOffloadHeaders)),
                ]
        )
    }
}
