/// Queries systemd for the main process of a service.
///
/// It runs `systemctl show`, and kills it if it does not answer in time.
final class ServiceLookup {
    private static let patience: Duration = .seconds(10)
    /// Limit on the answer in bytes: more than a process ID and its line feed.
    private static let maximumAnswerLength = 64

    private let unit: String
    private let answer: OwnedDescriptor
    private let loop: EventLoop
    private var asked: ChildProcess?
    private var deadline: TimerWheel.Token?

    /// Creates a lookup and starts the query.
    ///
    /// - Parameters:
    ///   - unit: The service's name.
    ///   - program: The path of `systemctl`.
    ///   - environment: `NAME=value`.
    ///   - loop: Waits for the answer.
    ///   - answered: Receives the process ID, or the reason for its absence.
    /// - Throws: `SystemError` if `systemctl` cannot be started.
    init(
        of unit: String,
        by program: String,
        environment: [String],
        on loop: EventLoop,
        answered: @escaping (Result<Int32, ServiceFailure>) -> Void
    ) throws(SystemError) {
        self.unit = unit
        self.loop = loop
        let pair = try Socket.pair()
        answer = pair.one
        var command = ChildProcess.Command(path: program)
        command.arguments = ["show", "--property=MainPID", "--value", unit]
        command.environment = environment
        command.readsNothing = true
        command.descriptors = [nil, pair.other.number]
        asked = try ChildProcess(command, on: loop) { [weak self] end, _ in
            guard let self else { return }
            if let deadline { loop.cancel(deadline) }
            asked = nil
            answered(result(end))
        }
        deadline = loop.after(Self.patience) { [weak self] _ in self?.asked?.terminate() }
    }

    deinit {
        // Nobody waits for the answer anymore.
        asked?.terminate()
    }

    private func result(_ end: ProcessEnd) -> Result<Int32, ServiceFailure> {
        guard end == .exited(0) else { return .failure(.noAnswer(unit, end)) }
        do {
            let octets = try Socket.receive(answer, upTo: Self.maximumAnswerLength) ?? []
            let word = String(decoding: octets, as: UTF8.self).prefix { $0.isNumber }
            guard let process = Int32(word), process > 0 else { return .failure(.notRunning(unit)) }
            return .success(process)
        } catch {
            return .failure(.notRunning(unit))
        }
    }
}

/// Why a service's process is unknown.
enum ServiceFailure: Error, Equatable, CustomStringConvertible {
    /// systemd reports no process: the service is not running or does not exist.
    case notRunning(String)
    /// `systemctl` failed, or was killed because it did not answer.
    case noAnswer(String, ProcessEnd)

    var description: String {
        switch self {
        case .notRunning(let unit): "\(unit) is not running: it has no main process"
        case .noAnswer(let unit, let end):
            "systemctl does not report \(unit)'s main process: \(end)"
        }
    }
}
