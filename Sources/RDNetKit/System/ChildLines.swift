/// Reports a child's output line by line.
///
/// A line that is too long is cut, and its rest is discarded.
final class ChildLines: ReadinessObserver {
    /// Limit on a line's length in bytes.
    static let maximumLineLength = 512
    private static let octetsPerRead = 4_096
    /// Limit on reads of the output that an ended child left: more than a socket holds.
    private static let maximumReads = 256

    private let loop: EventLoop
    private let reader: OwnedDescriptor
    private var writer: OwnedDescriptor?
    private let said: (String) -> Void
    private var watch: EventLoop.Watch?
    private var line: [UInt8] = []

    /// Creates the socket pair and starts to read.
    ///
    /// - Parameters:
    ///   - loop: The loop that waits for output.
    ///   - said: Called with each line, without its line end.
    /// - Throws: `SystemError`.
    init(loop: EventLoop, said: @escaping (String) -> Void) throws(SystemError) {
        self.loop = loop
        self.said = said
        let pair = try Socket.pair()
        reader = pair.one
        try pair.other.setBlocking()
        writer = .some(pair.other)
        watch = try loop.watch(reader.number, for: .readable, observer: self)
    }

    /// The descriptor for the child's output; nil after `childHasStarted`.
    var number: Int32? {
        switch writer {
        case .some(let writer): writer.number
        case .none: nil
        }
    }

    /// Closes this process's copy of the child's end; to be called after the child has started.
    func childHasStarted() {
        writer = nil
    }

    /// Reports the remaining output and stops.
    func close() {
        for _ in 0..<Self.maximumReads where read() {}
        end()
    }

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        _ = read()
    }

    /// Reads once and returns whether more may follow.
    private func read() -> Bool {
        guard watch != nil else { return false }
        do {
            guard let octets = try Socket.receive(reader, upTo: Self.octetsPerRead) else {
                return false
            }
            if octets.isEmpty {
                end()
            } else {
                take(octets)
            }
            return !octets.isEmpty
        } catch {
            end()
            return false
        }
    }

    private func take(_ octets: [UInt8]) {
        for octet in octets {
            if octet == UInt8(ascii: "\n") {
                tell()
            } else if line.count < Self.maximumLineLength {
                line.append(octet)
            }
        }
    }

    private func tell() {
        if line.last == UInt8(ascii: "\r") { line.removeLast() }
        let text = String(decoding: line, as: UTF8.self)
        line = []
        if !text.isEmpty { said(text) }
    }

    /// Reports the last line, which needs no line end, and stops.
    private func end() {
        guard let watch else { return }
        tell()
        loop.forget(watch)
        self.watch = nil
    }
}
