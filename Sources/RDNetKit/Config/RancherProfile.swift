/// The shared constants of one generation of Rancher Desktop's network tools.
enum RancherProfile: String, CaseIterable, Sendable {
    /// Rancher Desktop up to 1.15, from a separate repository.
    case legacy
    /// Rancher Desktop since 1.16, Rancher Desktop 2, Sulla.
    case current
    /// The openSUSE distribution's tools since June 2026.
    case opensuse

    /// One end of the veth pair between the default and the containers' namespace.
    struct VethEnd: Equatable, Sendable {
        /// The interface's name.
        let name: String
        /// IPv4, with a prefix of `vethPrefixLength` bits.
        let address: IPAddress
    }

    /// The prefix length of both veth addresses.
    static let vethPrefixLength = 24
    /// The host's reply once it recognized the VM: five bytes without a terminator.
    static let readyToken = "READY"

    /// The phrase that the VM sends first, without NUL or line feed: 53, 60 or 69 bytes.
    var signature: String {
        switch self {
        case .legacy: "github.com/rancher-sandbox/rancher-desktop-networking"
        case .current: "github.com/rancher-sandbox/rancher-desktop/src/go/networking"
        case .opensuse: "github.com/rancher-sandbox/rancher-desktop-opensuse/src/go/networking"
        }
    }

    /// The VM's vsock port for the handshake.
    var handshakePort: UInt32 {
        switch self {
        case .legacy, .current: 6669
        case .opensuse: 6670
        }
    }

    /// The host's vsock port for the stream of frames.
    var dataPort: UInt32 {
        switch self {
        case .legacy, .current: 6656
        case .opensuse: 6657
        }
    }

    /// The veth end in the default namespace.
    var outerVeth: VethEnd {
        switch self {
        case .legacy: VethEnd(name: "veth-rd0", address: IPAddress(ipv4: 0xc0a8_0101))
        case .current, .opensuse:
            VethEnd(name: "veth-rd-wsl", address: IPAddress(ipv4: 0xc0a8_8f02))
        }
    }

    /// The veth end in the containers' namespace, the target of published ports.
    var innerVeth: VethEnd {
        switch self {
        case .legacy: VethEnd(name: "veth-rd1", address: IPAddress(ipv4: 0xc0a8_0102))
        case .current, .opensuse:
            VethEnd(name: "veth-rd-ns", address: IPAddress(ipv4: 0xc0a8_8f01))
        }
    }
}

extension ValueSyntax where Value == RancherProfile {
    /// A profile's name.
    static let rancherProfile = word("PROFILE", expected: "legacy, current or opensuse")
}

extension Option {
    /// The profile, for every role that works with Rancher Desktop's tools.
    static func profile(
        _ path: any WritableKeyPath<Settings, RancherProfile> & Sendable
    ) -> Option {
        Option(
            "profile",
            path,
            .rancherProfile,
            reach: .network(key: "profile"),
            help: "the generation of Rancher Desktop to work with",
            reason: """
                It selects names, addresses and ports: legacy is Rancher Desktop up to 1.15, \
                current is 1.16 and later, opensuse is the openSUSE distribution's development \
                version. An option for a single name, address or port overrides it.
                """
        )
    }
}
