/// The values that host and VM must share for the handshake.
struct HandshakeSettings: Sendable {
    var profile = RancherProfile.current
    /// Empty: the profile's.
    var ownPhrase = ""
    /// Nil: the profile's.
    var ownHandshakePort: UInt32?
    /// Nil: the profile's.
    var ownDataPort: UInt32?

    /// The phrase that the VM sends first.
    var phrase: [UInt8] { Array((ownPhrase.isEmpty ? profile.signature : ownPhrase).utf8) }
    /// The VM's port.
    var handshakePort: UInt32 { ownHandshakePort ?? profile.handshakePort }
    /// The host's port.
    var dataPort: UInt32 { ownDataPort ?? profile.dataPort }
}

extension Option<HandshakeSettings> {
    /// The options of a role that takes part in the handshake.
    ///
    /// - Parameter dataPort: The option name for the host's port; the two ends use different names.
    /// - Returns: The options.
    static func handshake(dataPort: String) -> [Option] {
        [
            .profile(\.profile),
            Option(
                "handshake-phrase",
                \.ownPhrase,
                .phrase,
                unset: "the profile's",
                help: "the phrase that identifies the VM",
                reason: "Both ends must use the same value."
            ),
            Option(
                "vsock-handshake-port",
                \.ownHandshakePort,
                .optionalVsockPort,
                unset: "the profile's, 6669 or 6670",
                help: "the VM's vsock port for the handshake",
                reason: "Both ends must use the same value."
            ),
            Option(
                dataPort,
                \.ownDataPort,
                .optionalVsockPort,
                unset: "the profile's, 6656 or 6657",
                help: "the host's vsock port for the stream of frames",
                reason: "Both ends must use the same value."
            ),
        ]
    }
}

extension ValueSyntax where Value == String {
    /// The VM's phrase, or empty for the profile's.
    static let phrase = ValueSyntax(
        placeholder: "TEXT",
        expected: "a text of at most 255 bytes",
        parse: { $0.utf8.count <= 255 ? $0 : nil },
        text: { $0 }
    )
}

extension ValueSyntax where Value == UInt32? {
    /// A vsock port, or empty.
    static let optionalVsockPort = ValueSyntax(
        placeholder: "PORT",
        // 0xffffffff is VMADDR_PORT_ANY.
        expected: "a vsock port from 1 to 4294967294, or empty",
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
