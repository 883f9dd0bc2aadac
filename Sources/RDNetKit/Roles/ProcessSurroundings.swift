/// A role's view of the process and the machine at its start; tests pass their own.
struct ProcessSurroundings {
    /// Returns a variable's value; nil if it is not set.
    var environment: (String) -> String?
    /// Returns the names of all variables.
    var environmentNames: () -> [String]
    var readFile: (String) -> FileContents
    /// Whether a path exists.
    var exists: (String) -> Bool
    /// Whether a path exists and is not a stale socket.
    var isOccupied: (String) -> Bool
    var printOutput: (String) -> Void
    var printError: (String) -> Void
    /// Creates the logger for the settings.
    var makeLogger: (CommonSettings) throws(SystemError) -> Logger
    /// The commit that the program was built from; empty if unknown.
    var commit: String
    /// The path of the program's own file.
    var executablePath: () throws(SystemError) -> String

    /// The real process and machine.
    static var system: ProcessSurroundings {
        ProcessSurroundings(
            environment: ProcessEnvironment.value(of:),
            environmentNames: {
                ProcessEnvironment.all.map { String($0.prefix { $0 != "=" }) }
            },
            readFile: Self.readFile,
            exists: TextFile.isAnything,
            isOccupied: StaleSocket.isOccupied,
            printOutput: StandardStream.output.print,
            printError: StandardStream.error.print,
            makeLogger: Self.makeLogger,
            commit: ProcessEnvironment.commit,
            executablePath: ProcessEnvironment.executablePath
        )
    }

    private static func readFile(_ path: String) -> FileContents {
        do {
            guard let octets = try TextFile.read(path) else {
                return .unreadable("\(path): larger than \(TextFile.limit) bytes")
            }
            return .text(String(decoding: octets, as: UTF8.self))
        } catch {
            return TextFile.isAbsence(error) ? .absent : .unreadable(error.description)
        }
    }

    private static func makeLogger(_ settings: CommonSettings) throws(SystemError) -> Logger {
        let destination =
            switch settings.logFile {
            case "", "/dev/stderr": try LogDestination.inherited(StandardStream.error.descriptor)
            // Opening the path again fails if it is a socket, as under systemd.
            case "/dev/stdout": try LogDestination.inherited(StandardStream.output.descriptor)
            default:
                try LogDestination.file(settings.logFile, appending: settings.appendsToLogFile)
            }
        return Logger(
            level: settings.logLevel,
            format: settings.logFormat,
            isColored: destination.isTerminal && ProcessEnvironment.allowsColor,
            clock: WallClock.now,
            sink: destination.write,
            lossCause: { destination.lossCause },
            reopening: destination.isFile ? { reopen(destination) } : nil,
            descriptor: { destination.number }
        )
    }

    /// Returns why a log file cannot be reopened; nil on success.
    private static func reopen(_ destination: LogDestination) -> String? {
        do {
            try destination.reopen()
            return nil
        } catch {
            return error.description
        }
    }
}
