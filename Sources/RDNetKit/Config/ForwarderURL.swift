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
            let query = URLQuery(parts.count > 1 ? String(parts[1]) : "")
            let arguments = query.parameters.map { "-\($0.name)=\($0.value)" }
            guard path.hasPrefix("/"), let program = URLPath.decoded(path),
                ([program] + arguments).allSatisfy({ !$0.utf8.contains(0) })
            else { return nil }
            self = .program(program, arguments: arguments)
        } else {
            return nil
        }
    }

    /// The query, and the question mark before it, of a program with these arguments.
    static func query(of arguments: [String]) -> String {
        guard !arguments.isEmpty else { return "" }
        let fields = arguments.map { argument in
            argument.dropFirst().split(
                separator: "=",
                maxSplits: 1,
                omittingEmptySubsequences: false
            ).map { encoded(String($0)) }.joined(separator: "=")
        }
        return "?" + fields.joined(separator: "&")
    }

    /// A query's name or value: what a path may have and a query gives a meaning is escaped too.
    private static func encoded(_ text: String) -> String {
        var output = ""
        for character in URLPath.encoded(text) {
            switch character {
            case "+": output += "%2B"
            case "&": output += "%26"
            case "=": output += "%3D"
            case ";": output += "%3B"
            default: output.append(character)
            }
        }
        return output
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
