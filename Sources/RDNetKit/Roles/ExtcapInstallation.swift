/// `rdnet --install-extcap`: creates the link through which Wireshark finds the role `extcap`.
enum ExtcapInstallation {
    static let linkName = "rdnet-extcap"
    /// The folder under the user's configuration (Wireshark up to 4.0), and the one since.
    private static let folders = ["wireshark/extcap", ".local/lib/wireshark/extcap"]

    /// Creates a symbolic link in a folder, or in the user's own folders of Wireshark.
    ///
    /// - Parameters:
    ///   - words: At most one folder.
    ///   - surroundings: Prints messages, and provides the path of the program's file.
    /// - Returns: Failure if a link could not be created.
    static func run(_ words: [String], _ surroundings: ProcessSurroundings) -> ExitCode {
        guard words.count <= 1, words.first?.isEmpty != true, words.first?.hasPrefix("-") != true
        else {
            surroundings.printError("rdnet: --install-extcap takes one directory at most\n")
            return .misuse
        }
        guard let directories = words.first.map({ [$0] }) ?? usualDirectories(surroundings) else {
            surroundings.printError(
                "rdnet: --install-extcap: HOME is not set; expected it, or a directory\n"
            )
            return .misuse
        }
        do {
            let program = try surroundings.executablePath()
            for directory in directories {
                try Directory.makeAll(directory)
                let path = "\(directory)/\(linkName)"
                _ = try FileLink.make(path, to: program, isSymbolic: true)
                surroundings.printOutput("\(path)\n".printableLines)
            }
            return .success
        } catch {
            surroundings.printError("rdnet: --install-extcap: \(error)\n".printableLines)
            return .failure
        }
    }

    private static func usualDirectories(_ surroundings: ProcessSurroundings) -> [String]? {
        guard let home = surroundings.environment("HOME"), home.hasPrefix("/") else { return nil }
        let chosen = surroundings.environment("XDG_CONFIG_HOME") ?? ""
        let configuration = chosen.hasPrefix("/") ? chosen : home + "/.config"
        return ["\(configuration)/\(folders[0])", "\(home)/\(folders[1])"]
    }
}
