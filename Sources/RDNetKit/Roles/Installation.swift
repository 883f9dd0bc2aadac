/// `rdnet --install`: creates a link for each role in a directory.
enum Installation {
    /// Roles whose names are common words: only `-a` installs them, because `rdnet up` works as
    /// well.
    static let namesOnRequest: Set<String> = ["ctl", "up", "extcap"]

    private struct Request {
        var directory: String
        /// Whether to create symbolic links instead of hard links.
        var isSymbolic: Bool
        /// Whether to include the roles in `namesOnRequest`.
        var isAll: Bool

        /// Parses `[-a] [-s] DIRECTORY`; nil for any other words.
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

    /// Creates the links, and reports each file that one of them replaces.
    ///
    /// - Parameters:
    ///   - names: The names of all roles.
    ///   - words: The words after `--install`.
    ///   - surroundings: Prints messages, and provides the path of the program's file.
    /// - Returns: Failure if a link could not be created; the other links are still created.
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
