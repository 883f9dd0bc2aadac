/// A generation of Rancher Desktop's network tools: what they agree on among each other.
enum RancherProfile: String, CaseIterable, Sendable {
    /// Rancher Desktop up to 1.15, from a repository of its own.
    case legacy
    /// Rancher Desktop since 1.16, Rancher Desktop 2, Sulla.
    case current
    /// The openSUSE distribution's tools since June 2026.
    case opensuse

    /// One end of the veth pair between the default namespace and the tools' own.
    struct VethEnd: Equatable, Sendable {
        /// The interface's name.
        let name: String
        /// IPv4, in a network of `vethPrefixLength` bits.
        let address: IPAddress
    }

    /// Bits of network in the addresses of both veth ends.
    static let vethPrefixLength = 24
    /// What the host says once it knows the virtual machine: five octets, nothing behind them.
    static let readyToken = "READY"

    /// What the virtual machine says first: no NUL, no line feed behind it; 53, 60 or 69 octets.
    var signature: String {
        switch self {
        case .legacy: "github.com/rancher-sandbox/rancher-desktop-networking"
        case .current: "github.com/rancher-sandbox/rancher-desktop/src/go/networking"
        case .opensuse: "github.com/rancher-sandbox/rancher-desktop-opensuse/src/go/networking"
        }
    }

    /// The vsock port that the virtual machine listens at for the handshake.
    var handshakePort: UInt32 {
        switch self {
        case .legacy, .current: 6669
        case .opensuse: 6670
        }
    }

    /// The vsock port that the host listens at for the stream of frames.
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

    /// The veth end in the namespace of the containers: where published ports are relayed to.
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
    static let rancherProfile = ValueSyntax(
        placeholder: "PROFILE",
        expected: "legacy, current or opensuse",
        parse: { RancherProfile(rawValue: $0) },
        text: { $0.rawValue }
    )
}

extension Option {
    /// The profile, for every role that meets another product's tools.
    static func profile(
        _ path: any WritableKeyPath<Settings, RancherProfile> & Sendable
    ) -> Option {
        Option(
            "profile",
            path,
            .rancherProfile,
            reach: .network(key: "profile"),
            help: "the generation of Rancher Desktop whose names, addresses and ports count",
            reason: """
                legacy is Rancher Desktop up to 1.15, current is 1.16 and later, opensuse is the \
                openSUSE distribution's development version. An option for a single name, address \
                or port is stronger.
                """
        )
    }
}
