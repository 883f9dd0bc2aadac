/// One channel of a multiplexer: its byte counts and how far it is closed.
///
/// Each direction has a window: the total number of bytes that may be sent. It starts at zero.
struct MultiplexChannel: Equatable {
    /// The bytes that a receiver buffers.
    static let window: UInt64 = 65_536

    let destination: ForwarderDestination
    /// Bytes sent, and the total that the peer allows.
    private(set) var sent = UInt64.zero
    private(set) var allowed = UInt64.zero
    /// Bytes received, passed on, and the total that this side allows.
    private(set) var received = UInt64.zero
    private(set) var consumed = UInt64.zero
    private(set) var granted = MultiplexChannel.window
    /// Whether this side has ended its direction, or both.
    var hasShutDown = false
    var hasClosed = false
    /// Whether the peer has ended its direction.
    var peerHasShutDown = false

    init(_ destination: ForwarderDestination) {
        self.destination = destination
    }

    /// The number of bytes that may be sent now.
    var allowance: Int {
        guard !hasShutDown, !hasClosed, allowed > sent else { return 0 }
        return Int(clamping: allowed - sent)
    }

    /// Counts sent bytes.
    mutating func send(_ count: Int) {
        precondition(count <= allowance, "more bytes than the peer's window allows")
        sent += UInt64(count)
    }

    /// Applies the peer's window, which never shrinks.
    mutating func allow(_ total: UInt64) {
        allowed = max(allowed, total)
    }

    /// Counts received bytes.
    ///
    /// - Returns: Whether the window allowed them.
    mutating func receive(_ count: Int) -> Bool {
        received += UInt64(count)
        return received <= granted
    }

    /// Counts bytes that were passed on.
    ///
    /// - Returns: The new window; nil if the peer does not need one yet.
    mutating func consume(_ count: Int) -> UInt64? {
        consumed += UInt64(count)
        guard granted - min(consumed, granted) < Self.window / 2 else { return nil }
        granted = consumed + Self.window
        return granted
    }
}
