import CLinux
import Glibc

@testable import RDNetKit

/// A manual clock.
final class HandMovedClock {
    var now = Instant(nanoseconds: 1_000_000_000)

    func advance(_ duration: Duration) {
        now = now + duration
    }
}

/// The client's end of a connection to a service; it never blocks.
final class StreamClient {
    private let descriptor: OwnedDescriptor

    init(_ descriptor: consuming OwnedDescriptor) {
        self.descriptor = descriptor
    }

    /// Sends as much as the socket takes; returns the number of bytes.
    @discardableResult
    func send(_ text: String) throws -> Int {
        try Array(text.utf8).withUnsafeBytes { try Socket.send(descriptor, $0) ?? 0 }
    }

    func endSending() {
        Socket.shutDownSending(descriptor)
    }

    /// Returns the waiting bytes, and whether the stream ended or was reset.
    func receive() -> (text: String, ended: Bool) {
        var octets: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            do {
                let count = try buffer.withUnsafeMutableBytes {
                    try Socket.receive(descriptor, into: $0)
                }
                guard let count, count > 0 else {
                    return (String(decoding: octets, as: UTF8.self), count == 0)
                }
                octets += buffer[..<count]
            } catch {
                return (String(decoding: octets, as: UTF8.self), true)
            }
        }
    }
}

/// A guest connector that records its requests.
final class RecordingConnector: GuestConnector {
    final class Port: GuestDatagramPort {
        let guest: Endpoint
        let receiver: any GuestDatagramReceiver
        var sent: [[UInt8]] = []
        var isClosed = false

        init(_ guest: Endpoint, _ receiver: any GuestDatagramReceiver) {
            self.guest = guest
            self.receiver = receiver
        }

        func send(_ payload: UnsafeRawBufferPointer) {
            sent.append(Array(payload))
        }

        /// Ports with the same number on this side, by the guest's port.
        var siblings: [UInt16: Port] = [:]

        func openSibling(
            to guestPort: UInt16,
            receiver: any GuestDatagramReceiver
        ) -> (any GuestDatagramPort)? {
            let sibling = Port(Endpoint(address: guest.address, port: guestPort), receiver)
            siblings[guestPort] = sibling
            return sibling
        }

        func close() {
            isClosed = true
        }
    }

    var guests: [Endpoint] = []
    var streams: [StreamClient] = []
    var ports: [Port] = []
    var hasPorts = true
    /// The outcome of every `call`.
    var answer = GuestAnswer.connected

    func call(
        _ guest: Endpoint,
        _ stream: consuming OwnedDescriptor,
        _ answered: GuestAnswered
    ) {
        answered(answer, stream)
        connect(to: guest, joining: stream)
    }

    func connect(to guest: Endpoint, joining stream: consuming OwnedDescriptor) {
        guests.append(guest)
        streams.append(StreamClient(stream))
    }

    func openDatagramPort(
        to guest: Endpoint,
        receiver: any GuestDatagramReceiver
    ) -> (any GuestDatagramPort)? {
        guard hasPorts else { return nil }
        let port = Port(guest, receiver)
        ports.append(port)
        return port
    }
}

extension EventLoop {
    /// Turns the loop until `done` holds, at most for `hangGuard`.
    func turn(until done: () -> Bool) throws {
        let deadline = ContinuousClock.now + hangGuard
        while !done(), ContinuousClock.now < deadline {
            try turn(waitingAtMost: .milliseconds(10))
        }
    }
}
