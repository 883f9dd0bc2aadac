/// A port of a namespace's loopback addresses, whose sockets a process inside the namespace makes.
final class NamespacePortForward: OpenForward {
    /// The addresses; a namespace may be without the second.
    private static let addresses = [IPAddress.loopbackIPv4, .loopbackIPv6]

    private let opening: (consuming OwnedDescriptor) throws(SystemError) -> any OpenForward
    private let lost: () -> Void
    private var forwards: [any OpenForward] = []
    /// How many sockets have not come yet.
    private var awaited = NamespacePortForward.addresses.count
    private var isClosed = false

    /// Asks for the sockets.
    ///
    /// - Parameters:
    ///   - port: The port.
    ///   - isUDP: Whether it is a UDP port.
    ///   - made: Makes a socket (`NamespaceSockets.make`).
    ///   - opening: Serves the clients of a socket.
    ///   - lost: Called if the port can be opened at no address.
    init(
        _ port: UInt16,
        isUDP: Bool,
        made: (NamespaceSocketRequest, @escaping NamespaceSockets.Taker) -> Void,
        opening: @escaping (consuming OwnedDescriptor) throws(SystemError) -> any OpenForward,
        lost: @escaping () -> Void
    ) {
        self.opening = opening
        self.lost = lost
        for address in Self.addresses {
            let place = Endpoint(address: address, port: port)
            let request = NamespaceSocketRequest(isUDP ? .boundDatagram : .listener, place)
            made(request) { [weak self] socket in self?.take(socket) }
        }
    }

    var endpoint: Endpoint? { forwards.first?.endpoint }

    func close() {
        isClosed = true
        for forward in forwards { forward.close() }
        forwards = []
    }

    private func take(_ socket: consuming OwnedDescriptor?) {
        awaited -= 1
        guard !isClosed else { return }
        if let socket {
            do throws(SystemError) {
                forwards.append(try opening(socket))
            } catch {
                // The loop has no room for it; the other address may be enough.
            }
        }
        if awaited == 0, forwards.isEmpty { lost() }
    }
}
