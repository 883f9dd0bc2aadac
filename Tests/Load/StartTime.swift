import CLinux
import Glibc

/// The time from a program's start until it is usable.
enum StartTime {
    /// The event that ends the measurement.
    enum Sign {
        /// The program's end.
        case exit
        /// The program's first byte of output.
        case output
        /// A unix socket accepts a connection.
        case socket(String)
        /// This namespace has an address.
        case address(Peer)

        init(_ text: String) {
            switch text {
            case "exit": self = .exit
            case "output": self = .output
            default:
                let parts = text.split(separator: ":", maxSplits: 1).map(String.init)
                switch parts.first {
                case "unix" where parts.count == 2: self = .socket(parts[1])
                case "address" where parts.count == 2:
                    self = .address(Peer(host: parts[1], port: 0))
                default: fail("\"\(text)\": expected exit, output, unix:PATH or address:ADDRESS")
                }
            }
        }
    }

    private static let limit: UInt64 = 10_000_000_000

    /// Starts a program `count` times and prints percentiles of the time; ends it with SIGTERM.
    static func run(_ sign: Sign, count: Int, command: [String]) {
        var samples = Samples()
        let start = nanoseconds()
        for _ in 0..<count { samples.add(measure(sign, command)) }
        samples.report(over: nanoseconds() - start)
    }

    private static func measure(_ sign: Sign, _ command: [String]) -> UInt64 {
        var ends: [Int32] = [-1, -1]
        check("pipe2") { pipe2(&ends, O_CLOEXEC) }
        let start = nanoseconds()
        let process = spawn(command, output: ends[1])
        close(ends[1])
        while !hasCome(sign, of: process, output: ends[0]) {
            if nanoseconds() - start > limit { fail("\(command): nothing within 10 seconds") }
        }
        let elapsed = nanoseconds() - start
        close(ends[0])
        if case .exit = sign { return elapsed }
        kill(process, SIGTERM)
        check("waitpid") { waitpid(process, nil, 0) }
        return elapsed
    }

    private static func spawn(_ command: [String], output: Int32) -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO)
        defer { posix_spawn_file_actions_destroy(&actions) }
        var process: pid_t = 0
        let arguments = command.map { strdup($0) } + [nil]
        defer { for argument in arguments { free(argument) } }
        let code = posix_spawnp(&process, command[0], &actions, nil, arguments, environ)
        guard code == 0 else { fail("\(command[0]): \(String(cString: strerror(code)))") }
        return process
    }

    /// Waits briefly; returns whether the event has occurred.
    private static func hasCome(_ sign: Sign, of process: pid_t, output: Int32) -> Bool {
        switch sign {
        case .exit:
            return check("waitpid") { waitpid(process, nil, 0) } == process
        case .output:
            var octet: UInt8 = 0
            guard check("read", { read(output, &octet, 1) }) == 1 else {
                fail("the program ended without output")
            }
            return true
        case .socket(let path):
            let descriptor = connectToPath(path)
            if descriptor >= 0 { close(descriptor) }
            return descriptor >= 0 || pause()
        case .address(let address):
            // bind(2) succeeds only with an address of this namespace.
            let descriptor = makeSocket(SOCK_DGRAM)
            defer { close(descriptor) }
            return address.lend { bind(descriptor, $0, $1) } == 0 || pause()
        }
    }

    /// Sleeps for 0.1 ms; returns false.
    private static func pause() -> Bool {
        usleep(100)
        return false
    }
}
