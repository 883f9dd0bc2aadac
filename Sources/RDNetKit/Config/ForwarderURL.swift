extension LinkAddress {
    /// The path at which gvproxy's API gives frames.
    static let connectPath = "/connect"

    /// Parses a host as gvforwarder's `-url` names it.
    ///
    /// `vsock://CID:PORT/PATH` asks for the path, `vsock://CID:PORT` is a stream of frames from the start; `unix:///PATH` asks
    /// for `/connect`; `stdio:/PROGRAM?k=v` is a program that is run as `PROGRAM -k=v`.
    init?(forwarder text: String) {
        if let rest = text.removingPrefix("vsock://") {
            let slash = rest.firstIndex(of: "/") ?? rest.endIndex
            guard let address = StreamAddress(vsock: rest[..<slash]) else { return nil }
            let path = String(rest[slash...])
            // What ends a word would end the request's target, too.
            guard path.utf8.allSatisfy({ $0 > 0x20 && $0 != 0x7f }) else { return nil }
            self =
                path.isEmpty
                ? .stream(address, .littleEndian16) : .connect(address, path: path)
        } else if text.hasPrefix("unix://"), let address = StreamAddress(text) {
            self = .connect(address, path: Self.connectPath)
        } else if let rest = text.removingPrefix("stdio:") {
            let parts = rest.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
            // An empty host may stand in front of the path.
            let path = parts[0].removingPrefix("//") ?? String(parts[0])
            guard path.hasPrefix("/"), let program = URLPath.decoded(path),
                !program.utf8.contains(0),
                let arguments = URLQuery.arguments(parts.count > 1 ? parts[1] : "")
            else { return nil }
            self = .program(program, arguments: arguments)
        } else {
            return nil
        }
    }
}

/// The query of a URL as a program's arguments: `k=v&l` is `-k=v` and `-l=`.
enum URLQuery {
    /// Parses a query; nil where an escape is malformed.
    static func arguments(_ query: some StringProtocol) -> [String]? {
        var arguments: [String] = []
        for field in query.split(separator: "&") {
            let plain = field.split(separator: "+", omittingEmptySubsequences: false)
                .joined(separator: "%20")
            let parts = plain.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard let name = URLPath.decoded(String(parts[0])),
                let value = URLPath.decoded(parts.count > 1 ? String(parts[1]) : ""),
                !name.utf8.contains(0), !value.utf8.contains(0)
            else { return nil }
            arguments.append("-\(name)=\(value)")
        }
        return arguments
    }

    /// The query, and the question mark before it, that `arguments` makes these of.
    static func text(_ arguments: [String]) -> String {
        guard !arguments.isEmpty else { return "" }
        let fields = arguments.map { argument in
            let parts = argument.dropFirst().split(
                separator: "=",
                maxSplits: 1,
                omittingEmptySubsequences: false
            )
            return parts.map { encoded($0) }.joined(separator: "=")
        }
        return "?" + fields.joined(separator: "&")
    }

    private static func encoded(_ text: Substring) -> String {
        // What a path may have and a query gives a meaning.
        URLPath.encoded(String(text)).split(separator: "+", omittingEmptySubsequences: false)
            .joined(separator: "%2B").split(separator: "&", omittingEmptySubsequences: false)
            .joined(separator: "%26").split(separator: "=", omittingEmptySubsequences: false)
            .joined(separator: "%3D")
    }
}

extension ValueSyntax where Value == LinkAddress {
    /// The host, as gvforwarder's `-url` names it.
    static let forwarderURL = ValueSyntax(
        placeholder: "URL",
        expected: """
            vsock://CID:PORT/PATH, unix:///PATH or stdio:/PROGRAM?NAME=VALUE
            """,
        parse: { LinkAddress(forwarder: $0) },
        text: { $0.description }
    )
}
