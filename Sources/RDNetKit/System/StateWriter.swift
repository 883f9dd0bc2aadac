internal import CLinux
internal import Glibc

/// A child process that writes a state directory's file, because the disk can block for seconds.
///
/// How it works: the parent sends a content over a socket, its length first, and the child answers
/// with the result; at most one content is under way. After the child has started,
/// only the child needs access to the directory. It ends when its parent does, but finishes the
/// content that it has received.
final class StateWriter: ReadinessObserver {
    /// The result of one content; nil if it is on the disk.
    typealias Completion = (SystemError?) -> Void

    /// The content's length in 4 bytes, little-endian, precedes it.
    private static let lengthSize = 4
    private static let maximumAnswer = 256

    private let loop: EventLoop
    private let socket: OwnedDescriptor
    private let finished: Completion
    private var watch: EventLoop.Watch?
    /// The length and the content; nil if none is under way.
    private var octets: [UInt8]?
    private var sent = 0
    private var hasEnded = false

    /// Starts the child.
    ///
    /// - Parameters:
    ///   - directory: The directory; its lock lasts until the child has ended.
    ///   - user: The user that the child becomes; nil for no change.
    ///   - isRestricted: Whether the child gives up everything else that it could access.
    ///   - loop: Reports the child's answers.
    ///   - finished: Called with the result of each content.
    /// - Throws: `SystemError`.
    init(
        _ directory: borrowing StateDirectory,
        as user: AccountFile.User?,
        isRestricted: Bool,
        loop: EventLoop,
        finished: @escaping Completion
    ) throws(SystemError) {
        self.loop = loop
        self.finished = finished
        let pair = try Socket.pair()
        let number = pair.other.number
        let path = directory.path
        let files = directory.descriptors
        _ = try Namespace.fork {
            Self.serve(files, at: path, over: number, as: user, isRestricted: isRestricted)
        }
        socket = pair.one
        watch = try loop.watch(socket.number, for: .readable, observer: self)
    }

    /// Whether a content is under way.
    var isBusy: Bool { octets != nil }

    /// Sends a content to the child; `finished` is called later.
    ///
    /// - Parameter content: The complete content; none is under way.
    func write(_ content: [UInt8]) {
        let length = UInt32(content.count)
        octets =
            (0..<Self.lengthSize).map { UInt8(truncatingIfNeeded: length >> (8 * $0)) } + content
        sent = 0
        advance()
    }

    /// Writes a last content, after the one that is under way, and ends the child.
    ///
    /// - Parameters:
    ///   - content: The complete content.
    ///   - limit: How long to wait for both results.
    func finish(with content: [UInt8], waitingAtMost limit: Duration) {
        let deadline = EventLoop.monotonicClock() + limit
        wait(until: deadline)
        if !isBusy { write(content) }
        wait(until: deadline)
        if isBusy { complete(SystemError(call: "wait for the disk", errno: ETIMEDOUT)) }
        if let watch { loop.forget(watch) }
        watch = nil
        Socket.shutDownBoth(socket)
    }

    private func wait(until deadline: Instant) {
        while isBusy {
            let wanted = Int16(POLLIN) | (isSending ? Int16(POLLOUT) : 0)
            var request = pollfd(fd: socket.number, events: wanted, revents: 0)
            let left = max(deadline - EventLoop.monotonicClock(), .zero)
            guard poll(&request, 1, Int32(left.millisecondsRoundedUp)) > 0 else { return }
            advance()
        }
    }

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        advance()
    }

    private var isSending: Bool { octets.map { sent < $0.count } ?? false }

    /// Sends and receives what is possible now.
    private func advance() {
        guard !hasEnded else { return complete(Self.gone) }
        do throws(SystemError) {
            while let octets, isSending, let count = try Socket.send(socket, octets, from: sent) {
                sent += count
            }
            if let answer = try Socket.receive(socket, upTo: Self.maximumAnswer) { receive(answer) }
            if let watch { loop.change(watch, to: isSending ? [.readable, .writable] : .readable) }
        } catch {
            end(error)
        }
    }

    private func receive(_ answer: [UInt8]) {
        guard let code = answer.first else { return end(Self.gone) }
        let call = String(decoding: answer.dropFirst(), as: UTF8.self)
        complete(code == 0 ? nil : SystemError(call: call, errno: Int32(code)))
    }

    private func complete(_ error: SystemError?) {
        guard octets != nil else { return }
        octets = nil
        finished(error)
    }

    private func end(_ error: SystemError) {
        if let watch { loop.forget(watch) }
        watch = nil
        hasEnded = true
        complete(error)
    }

    private static let gone = SystemError(call: "the writer's process has ended", errno: EPIPE)

    // MARK: The child

    private static func serve(
        _ files: StateDirectory.Descriptors,
        at path: String,
        over number: Int32,
        as user: AccountFile.User?,
        isRestricted: Bool
    ) -> Int32 {
        // It ends with its parent, but not in the middle of a write.
        _ = clinux_prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0)
        WorkingChild.begin("rdnet-state", keeping: [files.directory, files.lock, number])
        let socket = OwnedDescriptor(adopting: number)
        let directory = StateDirectory(path, adopting: files)
        do {
            try socket.setBlocking()
            try restrict(to: path, as: user, isRestricted)
            while let octets = try receiveContent(from: socket) {
                try answer(to: socket) { () throws(SystemError) in
                    try directory.replace(with: octets)
                }
            }
            return 0
        } catch {
            return 1
        }
    }

    private static func restrict(
        to path: String,
        as user: AccountFile.User?,
        _ isRestricted: Bool
    ) throws(SystemError) {
        try Privileges.refuseNew()
        if isRestricted { _ = try Landlock(rules: [.folder(path)]).enforce() }
        if let user {
            try Privileges.reduce(to: [.setGID, .setUID], bounding: [])
            try Privileges.become(user)
        }
        try Privileges.reduce(to: [])
        try Privileges.hideMemory()
        if isRestricted { try SandboxCalls.broker().enforceIfSupported() }
    }

    /// Receives a content; nil when the parent has ended.
    private static func receiveContent(
        from socket: borrowing OwnedDescriptor
    ) throws(SystemError) -> [UInt8]? {
        guard let prefix = try receive(lengthSize, from: socket) else { return nil }
        let length = prefix.reversed().reduce(0) { $0 << 8 | Int($1) }
        guard length <= StateDirectory.limit else { return nil }
        return try receive(length, from: socket)
    }

    /// Receives a number of bytes; nil if the stream ends before.
    private static func receive(
        _ count: Int,
        from socket: borrowing OwnedDescriptor
    ) throws(SystemError) -> [UInt8]? {
        var octets: [UInt8] = []
        while octets.count < count {
            let next = try Socket.receive(socket, upTo: min(count - octets.count, 65_536))
            guard let next, !next.isEmpty else { return nil }
            octets += next
        }
        return octets
    }

    private static func answer(
        to socket: borrowing OwnedDescriptor,
        _ write: () throws(SystemError) -> Void
    ) throws(SystemError) {
        var octets: [UInt8] = [0]
        do throws(SystemError) {
            try write()
        } catch {
            let code = UInt8(truncatingIfNeeded: error.errno)
            octets = [code] + error.call.utf8.prefix(maximumAnswer - 1)
        }
        _ = try Socket.send(socket, octets)
    }
}
