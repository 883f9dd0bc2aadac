/// The API's paths into the virtual network: a new link, or a TCP connection to a guest.
///
/// Both take over the HTTP connection.
struct GuestAccessAPI {
    /// The two bytes that report that the guest has accepted the connection.
    static let guestIsThere = Array("UP".utf8)

    /// Opens connections to guests.
    let connector: any GuestConnector
    /// Opens a connection to a guest and reports the guest's answer to a closure.
    let call: (Endpoint, consuming OwnedDescriptor, @escaping GuestAnswered) -> Void
    /// Creates a link from a connection and its client's address.
    let attach: (consuming OwnedDescriptor, Endpoint?) -> Void

    /// Turns the connection into a link: frames follow the request at once, without a response.
    var connect: HTTPRoute {
        HTTPRoute(
            "/connect",
            deciding: { [attach] _, peer in
                .handover(saying: []) { stream in attach(stream, peer) }
            }
        )
    }

    /// Connects to a guest's TCP port, after two bytes that acknowledge the request.
    ///
    /// The bytes precede the connect to the guest; a guest that does not accept closes the
    /// connection. A query with `wait=true`, which gvproxy does not know, waits for the guest's
    /// answer instead. It then returns two other bytes if the guest has accepted, or else a
    /// response with the reason.
    var tunnel: HTTPRoute {
        HTTPRoute(
            "/tunnel",
            deciding: { [connector, call] request, _ in
                do throws(ForwardError) {
                    let query = URLQuery(request.head.query ?? "")
                    let guest = try Self.guest(query)
                    guard connector.leads(to: guest.address) else {
                        throw .remoteIsNoGuest(guest.address)
                    }
                    guard query["wait"] != "true" else {
                        return .handover(saying: []) { stream in
                            call(guest, stream) { Self.tell($0, of: guest, to: $1) }
                        }
                    }
                    return .handover(saying: Array("OK".utf8)) { stream in
                        connector.connect(to: guest, joining: stream)
                    }
                } catch {
                    return .response(.error(500, error.description))
                }
            }
        )
    }

    private static func guest(_ query: URLQuery) throws(ForwardError) -> Endpoint {
        let address = query["ip"] ?? ""
        guard !address.isEmpty else { throw .missingAddress }
        return try ForwardAddress.guest(address, port: query["port"] ?? "")
    }

    /// Writes the guest's answer to the client's connection.
    private static func tell(
        _ answer: GuestAnswer,
        of guest: Endpoint,
        to client: borrowing OwnedDescriptor
    ) {
        let sentence: String? =
            switch answer {
            case .connected: nil
            case .refused: "\(guest) refuses the connection"
            case .silent: "\(guest) does not answer"
            case .absent: "no guest has the address \(guest.address)"
            case .impossible:
                "\(guest.address) is not a guest's address, or there are too many flows"
            }
        var octets = guestIsThere
        if let sentence {
            octets = []
            let delivery = HTTPResponse.Delivery(
                keepsAlive: false,
                date: WallClock.microseconds() / 1_000_000
            )
            HTTPResponse.error(502, sentence).write(to: &octets, delivery)
        }
        do {
            // The socket's buffer is empty, so the answer fits.
            _ = try Socket.send(client, octets)
        } catch {
            // The client has disconnected; the flow notices this next.
        }
    }
}
