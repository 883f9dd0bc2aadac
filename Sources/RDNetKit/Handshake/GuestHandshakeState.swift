/// Where the virtual machine's end is on its way to a stream.
enum GuestHandshakeState: Equatable {
    /// Nobody listens: not started, stopped, or the stream was handed over.
    case idle
    /// Hosts may call the handshake port.
    case listening
    /// A host is ready, and its data port is being called; hosts may still call.
    ///
    /// `again` tells that a host said READY meanwhile: the one that is being called may be gone already.
    case calling(again: Bool)

    /// Takes an event.
    ///
    /// - Parameter event: What happened.
    /// - Returns: What to do, in this order.
    mutating func next(_ event: GuestHandshakeEvent) -> [GuestHandshakeAction] {
        switch (self, event) {
        case (.idle, .started):
            self = .listening
            return []
        case (.listening, .ready):
            self = .calling(again: false)
            return [.callHost]
        case (.calling, .ready):
            self = .calling(again: true)
            return []
        case (.calling, .hostAnswered):
            self = .idle
            return [.closePort, .handOver]
        case (.calling(again: true), .callFailed):
            self = .calling(again: false)
            return [.callHost]
        case (.calling(again: false), .callFailed):
            self = .listening
            return []
        case (.listening, .stopped), (.calling, .stopped):
            self = .idle
            return [.closePort]
        case (.listening, .started), (.calling, .started), (.idle, .ready), (.idle, .hostAnswered),
            (.listening, .hostAnswered), (.idle, .callFailed), (.listening, .callFailed),
            (.idle, .stopped):
            return []
        }
    }
}

/// What happens to the virtual machine's end.
enum GuestHandshakeEvent: Equatable {
    /// It listens now.
    case started
    /// A host said READY.
    case ready
    case hostAnswered
    case callFailed
    case stopped
}

/// What the virtual machine's end wants done.
enum GuestHandshakeAction: Equatable {
    case callHost
    /// Ends listening, every exchange, and the call to the host if there is one.
    case closePort
    case handOver
}
