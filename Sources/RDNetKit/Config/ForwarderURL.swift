extension LinkAddress {
    /// The path of gvproxy's API that turns a connection into a link.
    static let connectPath = "/connect"

    /// Parses a host in the form of gvforwarder's `-url`.
    ///
    /// `vsock://CID:PORT/PATH` requests the path; `vsock://CID:PORT` carries frames from the start;
    /// `unix:///PATH` requests `/connect`; `stdio:/PROGRAM?k=v` runs `PROGRAM -k=v`.
    init?(forwarder text: String) {
        if let rest = text.removingPrefix("vsock://") {
            let slash = rest.firstIndex(of: "/") ?? rest.endIndex
            guard let address = StreamAddress(vsock: rest[..<slash]) else { return nil }
            let path = String(rest[slash...])
            // White space would end the request target.
            guard path.utf8.allSatisfy({ $0 > 0x20 && $0 != 0x7f }) else { return nil }
            self =
                path.isEmpty
                ? .stream(address, .littleEndian16) : .connect(address, path: path)
        } else if text.hasPrefix("unix://"), let address = StreamAddress(text) {
            self = .connect(address, path: Self.connectPath)
        } else if let rest = text.removingPrefix("stdio:") {
            let parts = rest.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
            // The URL may have an empty host.
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

    /// The query string for a program with these arguments, including the question mark.
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

    /// A query's name or value, with the characters escaped that are special in queries.
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
    /// The host in the form of gvforwarder's `-url`.
    static let forwarderURL = ValueSyntax(
        placeholder: "URL",
        expected: """
            vsock://CID:PORT/PATH, unix:///PATH or stdio:/PROGRAM?NAME=VALUE
            """,
        parse: { LinkAddress(forwarder: $0) },
        text: { $0.description }
    )
}
