/// The file that a guest end writes the lease's name servers to.
enum ResolverFileChoice: Equatable, Sendable {
    /// `/etc/resolv.conf`, where it belongs to the guest end's network namespace.
    case automatic
    /// None: name resolution is left alone.
    case none
    /// The one at this path.
    case path(String)
}

extension ValueSyntax where Value == ResolverFileChoice {
    /// A path, the word for the automatic choice, or nothing.
    static let resolverFile = ValueSyntax(
        placeholder: "FILE",
        expected: "a path, auto, or nothing",
        parse: { text in
            switch text {
            case "": ResolverFileChoice.none
            case "auto": .automatic
            default: .path(text)
            }
        },
        text: { choice in
            switch choice {
            case .none: ""
            case .automatic: "auto"
            case .path(let path): path
            }
        }
    )
}

extension Option {
    /// `--resolv-conf` of a guest end.
    ///
    /// - Parameters:
    ///   - path: The setting.
    ///   - reason: The role's own further sentences.
    /// - Returns: The option.
    static func resolvConf(
        _ path: any WritableKeyPath<Settings, ResolverFileChoice> & Sendable,
        reason: String
    ) -> Option {
        Option(
            "resolv-conf",
            path,
            .resolverFile,
            unset: "none",
            help: "the file to write the lease's DNS servers to; empty for none",
            reason: """
                auto means /etc/resolv.conf if it belongs to the network namespace: to that of \
                process 1, or because another file is mounted there that process 1 does not see. In \
                the namespace of network-setup, a file in memory is mounted there. Otherwise nothing \
                is written. The previous content is restored at exit. \(reason)
                """
        )
    }
}
