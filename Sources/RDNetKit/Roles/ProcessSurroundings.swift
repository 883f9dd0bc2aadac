/// What a role sees of the process and the machine before it has begun; a test hands in its own.
struct ProcessSurroundings {
    /// A variable's value.
    var environment: (String) -> String?
    var readFile: (String) -> FileContents
    /// Whether a path exists.
    var exists: (String) -> Bool
    /// Whether something other than a stale socket has a path.
    var isOccupied: (String) -> Bool
    var printOutput: (String) -> Void
    var printError: (String) -> Void
    /// Makes the logger that the settings ask for.
    var makeLogger: (CommonSettings) throws(SystemError) -> Logger
    /// The commit that the program was built from; empty when that is unknown.
    var commit: String
    /// The path of the program's own file.
    var executablePath: () throws(SystemError) -> String

    /// The real ones.
    static var system: ProcessSurroundings {
        ProcessSurroundings(
            environment: ProcessEnvironment.value(of:),
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
            // Opening the path again fails when it is a socket, as under systemd.
            case "/dev/stdout": try LogDestination.inherited(StandardStream.output.descriptor)
            default:
                try LogDestination.file(settings.logFile, appending: settings.appendsToLogFile)
            }
        return Logger(
            level: settings.logLevel,
            format: settings.logFormat,
            isColored: destination.isTerminal,
            clock: WallClock.now,
            sink: destination.write,
            reopening: destination.isFile ? { reopen(destination) } : nil
        )
    }

    /// Why a log file cannot be opened again; nil when it was.
    private static func reopen(_ destination: LogDestination) -> String? {
        do {
            try destination.reopen()
            return nil
        } catch {
            return error.description
        }
    }
}
