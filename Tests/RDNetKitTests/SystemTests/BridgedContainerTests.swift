import Testing

@Suite(
    "a container behind a bridge in the guest",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct BridgedContainerTests {
    /// A kind of guest, with a container in it.
    struct Case: CustomTestStringConvertible {
        let isUp: Bool
        let mtu: Int
        let way: BridgedContainer.Way

        var testDescription: String { "\(isUp ? "up" : "vm-switch"), MTU \(mtu), \(way)" }

        static let all = [true, false].flatMap { isUp in
            [1_500, 65_520].flatMap { mtu in
                BridgedContainer.Way.allCases.map { Case(isUp: isUp, mtu: mtu, way: $0) }
            }
        }

        func makeScene() throws -> any GuestScene {
            let options = [
                "--mtu", String(mtu), "--port-forward", "127.0.0.1:8080=192.168.127.2:8080",
            ]
            return isUp ? try UpGuest(options: options) : try SwitchedGuest(hostOptions: options)
        }
    }

    private static let octets = "10000000"

    @Test("sends and gets every octet, by TCP and by UDP", arguments: Case.all)
    func everyOctet(_ each: Case) throws {
        let scene = try each.makeScene()
        let container = try BridgedContainer(in: scene.guest, each.way)
        try scene.serve(BuiltProgram.load, "bulk-server", "9", in: scene.host)
        try scene.serve(BuiltProgram.load, "udp-server", "7", in: scene.host)
        try scene.serve(BuiltProgram.load, "bulk-server", "80", in: container.namespace)
        try scene.waitForListener(9, in: scene.host)
        try scene.waitForListener(7, in: scene.host, kind: "-uln")
        try scene.waitForListener(80, in: container.namespace)

        try transfer(scene, SwitchedGuest.hostAlias, "9", from: container.namespace)
        try sendDatagrams(scene, from: container.namespace, isRouted: each.way == .masquerade)
        if each.way == .masquerade { try transfer(scene, "127.0.0.1", "8080", from: scene.host) }
        // A link with offloads carries unfinished packets; one without them exposes bad checksums.
        try container.dropOffloads()
        try transfer(scene, SwitchedGuest.hostAlias, "9", from: container.namespace)
        try sendDatagrams(scene, from: container.namespace, isRouted: each.way == .masquerade)
        if each.way == .masquerade { try transfer(scene, "127.0.0.1", "8080", from: scene.host) }
    }

    /// Transfers data; the load program compares it at both ends and fails if they differ.
    private func transfer(
        _ scene: any GuestScene,
        _ host: String,
        _ port: String,
        from namespace: NetworkNamespace
    ) throws {
        for direction in ["bulk-up", "bulk-down"] {
            for connections in ["1", "8"] {
                let result = try scene.load(
                    direction,
                    host,
                    port,
                    connections,
                    Self.octets,
                    in: namespace
                )
                #expect(result["octets"] ?? 0 > 9_900_000)
            }
        }
    }

    private func sendDatagrams(
        _ scene: any GuestScene,
        from namespace: NetworkNamespace,
        isRouted: Bool
    ) throws {
        // The datagram's size in bytes, and the number passed to the kernel at once. A bridge does
        // not fragment packets that are too long for a port.
        let shapes = [("1400", "1"), ("1200", "40")] + (isRouted ? [("8000", "1")] : [])
        for direction in ["udp-up", "udp-down"] {
            for (octets, atOnce) in shapes {
                let result = try scene.load(
                    direction,
                    SwitchedGuest.hostAlias,
                    "7",
                    "0.2",
                    "100",
                    octets,
                    atOnce,
                    in: namespace
                )
                let received = result["received"] ?? 0
                #expect(result["wrong"] == 0)
                // Datagrams may be lost: on busy processors, bursts fill a queue. A lost datagram
                // is lost completely.
                #expect(received > 0, "\(direction) \(octets): \(result)")
            }
        }
    }
}
