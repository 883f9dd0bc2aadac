/// `rdnet --install`: a name for each role in a directory.
enum Installation {
    /// Roles whose names are common words: only `-a` installs them, as `rdnet up` does as well.
    static let namesOnRequest: Set<String> = ["ctl", "up"]

    private struct Request {
        var directory: String
        /// Whether to make symbolic links instead of hard ones.
        var isSymbolic: Bool
        /// Whether to make the names of `namesOnRequest` too.
        var isAll: Bool

        /// Reads `[-a] [-s] DIRECTORY`; nil when the words say something else.
        init?(_ words: [String]) {
            let options = words.prefix { $0.hasPrefix("-") }
            guard Set(options).isSubset(of: ["-a", "-s"]), words.count == options.count + 1,
                let directory = words.last, !directory.isEmpty
            else { return nil }
            self.directory = directory
            isSymbolic = options.contains("-s")
            isAll = options.contains("-a")
        }
    }

    /// Makes the names, and reports each file that one of them replaces.
    ///
    /// - Parameters:
    ///   - names: Every role's name.
    ///   - words: What follows `--install`.
    ///   - surroundings: Where messages go, and where the program's own file is.
    /// - Returns: Failure when a name could not be made; the others were.
    static func run(
        _ names: [String],
        _ words: [String],
        _ surroundings: ProcessSurroundings
    ) -> ExitCode {
        guard let request = Request(words) else {
            surroundings.printError("rdnet: --install needs one directory: [-a] [-s] DIRECTORY\n")
            return .misuse
        }
        let program: String
        do {
            program = try surroundings.executablePath()
        } catch {
            surroundings.printError("rdnet: cannot find its own file: \(error)\n")
            return .failure
        }
        var status = ExitCode.success
        for name in names where request.isAll || !namesOnRequest.contains(name) {
            let path = "\(request.directory)/\(name)"
            do {
                let outcome = try FileLink.make(
                    path,
                    to: program,
                    isSymbolic: request.isSymbolic
                )
                guard outcome == .replaced else { continue }
                surroundings.printOutput("\(path): replaced; it was another file\n")
            } catch {
                surroundings.printError("rdnet: \(error)\n")
                status = .failure
            }
        }
        return status
    }
}
