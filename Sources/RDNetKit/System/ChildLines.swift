/// What a child says on a stream, line by line.
///
/// A line that is too long is cut, and its rest is not told.
final class ChildLines: ReadinessObserver {
    /// Octets of a line.
    static let maximumLineLength = 512
    private static let octetsPerRead = 4_096
    /// Reads of what a child that has ended left: more than a socket holds.
    private static let maximumReads = 256

    private let loop: EventLoop
    private let reader: OwnedDescriptor
    private var writer: OwnedDescriptor?
    private let said: (String) -> Void
    private var watch: EventLoop.Watch?
    private var line: [UInt8] = []

    /// Begins to listen.
    ///
    /// - Parameters:
    ///   - loop: Tells when the child has said something.
    ///   - said: Is told each line, without its end.
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

    /// The descriptor that the child is to write to.
    var number: Int32? {
        switch writer {
        case .some(let writer): writer.number
        case .none: nil
        }
    }

    /// Lets the child alone have its end, once it was started.
    func childHasStarted() {
        writer = nil
    }

    /// Tells what still waits, and ends.
    func close() {
        for _ in 0..<Self.maximumReads where read() {}
        end()
    }

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        _ = read()
    }

    /// Reads once; whether there may be more.
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

    /// The last line needs no end.
    private func end() {
        guard let watch else { return }
        tell()
        loop.forget(watch)
        self.watch = nil
    }
}
