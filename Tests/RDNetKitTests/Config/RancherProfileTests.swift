import Testing

@testable import RDNetKit

@Suite("Rancher Desktop's generations")
struct RancherProfileTests {
    @Test(
        "agree on these ports, phrases and interfaces",
        arguments: [
            (RancherProfile.legacy, 6669, 6656, 53, "veth-rd0 192.168.1.1", "veth-rd1 192.168.1.2"),
            (.current, 6669, 6656, 60, "veth-rd-wsl 192.168.143.2", "veth-rd-ns 192.168.143.1"),
            (.opensuse, 6670, 6657, 69, "veth-rd-wsl 192.168.143.2", "veth-rd-ns 192.168.143.1"),
        ] as [(RancherProfile, UInt32, UInt32, Int, String, String)]
    )
    func facts(
        profile: RancherProfile,
        handshake: UInt32,
        data: UInt32,
        length: Int,
        outer: String,
        inner: String
    ) {
        #expect(profile.handshakePort == handshake)
        #expect(profile.dataPort == data)
        #expect(profile.signature.utf8.count == length)
        #expect("\(profile.outerVeth.name) \(profile.outerVeth.address)" == outer)
        #expect("\(profile.innerVeth.name) \(profile.innerVeth.address)" == inner)
    }

    @Test(
        "have names",
        arguments: [
            ("legacy", .legacy), ("current", .current), ("opensuse", .opensuse), ("", nil),
            ("Current", nil), ("1.16", nil),
        ] as [(String, RancherProfile?)]
    )
    func names(text: String, expected: RancherProfile?) {
        #expect(ValueSyntax.rancherProfile.parse(text) == expected)
    }
}
