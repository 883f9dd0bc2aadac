/// The VM end's progress toward a stream.
enum GuestHandshakeState: Equatable {
    /// Not listening: not started, stopped, or the stream was handed over.
    case idle
    /// Listening on the handshake port.
    case listening
    /// A host is ready and we are connecting to its data port; the handshake port still listens.
    ///
    /// `again`: a host sent READY meanwhile, so the one we connect to may have disappeared.
    case calling(again: Bool)

    /// Handles an event.
    ///
    /// - Parameter event: What happened.
    /// - Returns: Actions, in order.
    mutating func next(_ event: GuestHandshakeEvent) -> [GuestHandshakeAction] {
        switch (self, event) {
        case (.idle, .started):
            self = .listening
            return []
        case (.listening, .ready):
            self = .calling(again: false)
            return [.connect]
        case (.calling, .ready):
            self = .calling(again: true)
            return []
        case (.calling, .hostAnswered):
            self = .idle
            return [.closePort, .handOver]
        case (.calling(again: true), .connectFailed):
            self = .calling(again: false)
            return [.connect]
        case (.calling(again: false), .connectFailed):
            self = .listening
            return []
        case (.listening, .stopped), (.calling, .stopped):
            self = .idle
            return [.closePort]
        case (.listening, .started), (.calling, .started), (.idle, .ready), (.idle, .hostAnswered),
            (.listening, .hostAnswered), (.idle, .connectFailed), (.listening, .connectFailed),
            (.idle, .stopped):
            return []
        }
    }
}

/// An event for the VM end.
enum GuestHandshakeEvent: Equatable {
    /// Listening started.
    case started
    /// A host sent READY.
    case ready
    case hostAnswered
    case connectFailed
    case stopped
}

/// An action of the VM end.
enum GuestHandshakeAction: Equatable {
    case connect
    /// Stop listening, and cancel every exchange and the connection attempt to the host.
    case closePort
    case handOver
}
