/// What host and virtual machine must agree on before frames flow between them.
struct HandshakeSettings: Sendable {
    var profile = RancherProfile.current
    /// Empty for the profile's.
    var ownPhrase = ""
    /// Nil for the profile's.
    var ownHandshakePort: UInt32?
    /// Nil for the profile's.
    var ownDataPort: UInt32?

    /// What the virtual machine says first.
    var phrase: [UInt8] { Array((ownPhrase.isEmpty ? profile.signature : ownPhrase).utf8) }
    /// The virtual machine's port.
    var handshakePort: UInt32 { ownHandshakePort ?? profile.handshakePort }
    /// The host's port.
    var dataPort: UInt32 { ownDataPort ?? profile.dataPort }
}

extension Option<HandshakeSettings> {
    /// The options of a role that takes part in the handshake.
    ///
    /// - Parameter dataPort: The name of the option for the host's port, which differs between the two ends.
    /// - Returns: The options.
    static func handshake(dataPort: String) -> [Option] {
        [
            .profile(\.profile),
            Option(
                "handshake-phrase",
                \.ownPhrase,
                .phrase,
                unset: "the profile's",
                help: "what the virtual machine says to be recognised",
                reason: "Both ends must be told the same."
            ),
            Option(
                "vsock-handshake-port",
                \.ownHandshakePort,
                .optionalVsockPort,
                unset: "the profile's, 6669 or 6670",
                help: "the port in the virtual machine at which it waits for the host",
                reason: "Both ends must be told the same."
            ),
            Option(
                dataPort,
                \.ownDataPort,
                .optionalVsockPort,
                unset: "the profile's, 6656 or 6657",
                help: "the port on the host at which it waits for the stream of frames",
                reason: "Both ends must be told the same."
            ),
        ]
    }
}

extension ValueSyntax where Value == String {
    /// What the virtual machine says first, or nothing for what the profile says.
    static let phrase = ValueSyntax(
        placeholder: "TEXT",
        expected: "a text of at most 255 octets",
        parse: { $0.utf8.count <= 255 ? $0 : nil },
        text: { $0 }
    )
}

extension ValueSyntax where Value == UInt32? {
    /// A vsock port, or nothing.
    static let optionalVsockPort = ValueSyntax(
        placeholder: "PORT",
        // All bits one is VMADDR_PORT_ANY.
        expected: "a vsock port from 1 to 4294967294, or nothing",
        parse: { text in
            if text.isEmpty { return .some(nil) }
            guard let number = GoSyntax.integer(text), number > 0, number < UInt32.max else {
                return nil
            }
            return UInt32(truncatingIfNeeded: number)
        },
        text: { $0.map { String($0) } ?? "" }
    )
}
