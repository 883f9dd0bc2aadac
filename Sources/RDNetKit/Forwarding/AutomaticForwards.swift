/// Ports that lead to those on which the programs of another network namespace listen, while they
/// do.
final class AutomaticForwards {
    private static let interval: Duration = .seconds(1)

    /// Opens a port; the last parameter is to be called if it proves to be unusable later.
    typealias Opening = (_ isUDP: Bool, UInt16, _ lost: @escaping () -> Void) throws(SystemError)
        -> any OpenForward

    private struct Port: Hashable {
        var isUDP: Bool
        var number: UInt16
    }

    private let tables: [SocketTableFile]
    private let loop: EventLoop
    private let log: Logger
    private let excludes: (_ isUDP: Bool, UInt16) -> Bool
    private let open: Opening
    private var forwards: [Port: any OpenForward] = [:]
    private var timer: TimerWheel.Token?

    /// Starts to read the tables, every second.
    ///
    /// - Parameters:
    ///   - tables: Those whose ports are forwarded.
    ///   - loop: The loop of the timer.
    ///   - log: Receives every change.
    ///   - excludes: Whether a port is never forwarded.
    ///   - open: Opens a port; it is tried again every second if that fails, because another
    ///     program may use the port.
    init(
        _ tables: [SocketTableFile],
        loop: EventLoop,
        log: Logger,
        excluding excludes: @escaping (_ isUDP: Bool, UInt16) -> Bool,
        open: @escaping Opening
    ) {
        self.tables = tables
        self.loop = loop
        self.log = log
        self.excludes = excludes
        self.open = open
        update()
    }

    /// Whether a port is open here.
    func isOpen(_ isUDP: Bool, _ port: UInt16) -> Bool {
        forwards[Port(isUDP: isUDP, number: port)] != nil
    }

    /// Closes all ports.
    func close() {
        if let timer { loop.cancel(timer) }
        timer = nil
        for forward in forwards.values { forward.close() }
        forwards = [:]
    }

    private func update() {
        timer = loop.after(Self.interval) { [weak self] _ in self?.update() }
        guard let ports = openPorts() else { return }
        for (port, forward) in forwards where !ports.contains(port) {
            forward.close()
            forwards[port] = nil
            log.debug("forward closed", ["port": "\(port.number)"])
        }
        for port in ports where forwards[port] == nil {
            do throws(SystemError) {
                forwards[port] = try open(port.isUDP, port.number) { [weak self] in
                    self?.forwards[port] = nil
                }
                log.debug("forward opened", ["port": "\(port.number)"])
            } catch {
                log.debug("forward not opened", ["cause": "\(error)"])
            }
        }
    }

    /// The ports to forward; nil if a table cannot be read.
    private func openPorts() -> Set<Port>? {
        var ports: Set<Port> = []
        for table in tables {
            do throws(SystemError) {
                guard let numbers = try table.openPorts() else { return nil }
                for number in numbers where !excludes(table.isUDP, number) {
                    ports.insert(Port(isUDP: table.isUDP, number: number))
                }
            } catch {
                log.debug("cannot read the open ports", ["cause": "\(error)"])
                return nil
            }
        }
        return ports
    }
}
