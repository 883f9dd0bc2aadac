/// The API's bearer token: the first line of a file that the host end and its clients read.
enum APIToken {
    /// Reads the token.
    ///
    /// - Parameters:
    ///   - path: The value of `--api-token-file`.
    ///   - readFile: Returns a file's content.
    /// - Returns: Printable ASCII characters.
    /// - Throws: `RoleFailure` that names the option and the path.
    static func read(
        _ path: String,
        _ readFile: (String) -> FileContents
    ) throws(RoleFailure) -> String {
        let text: String
        switch readFile(path) {
        case .text(let contents): text = contents
        case .absent: throw RoleFailure("api-token-file \(path): no such file or directory")
        case .unreadable(let reason): throw RoleFailure("api-token-file \(reason)")
        }
        let token = text.utf8.prefix { $0 != 0x0a && $0 != 0x0d }
        guard !token.isEmpty, token.allSatisfy({ (0x21...0x7e).contains($0) }) else {
            throw RoleFailure(
                "api-token-file \(path): expected a token of printable characters without spaces "
                    + "in its first line"
            )
        }
        return String(decoding: token, as: UTF8.self)
    }
}
