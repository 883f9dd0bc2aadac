/// The API's ways into the virtual network: one more link, or a TCP connection to a guest.
///
/// Either takes the HTTP connection over.
struct GuestAccessAPI {
    /// The two octets that say that the guest has taken the connection.
    static let guestIsThere = Array("UP".utf8)

    /// Opens connections to guests.
    let connector: any GuestConnector
    /// Opens one whose client is told by the guest's answer.
    let call: (Endpoint, consuming OwnedDescriptor, @escaping GuestAnswered) -> Void
    /// Makes a link of a connection and of its client's address.
    let attach: (consuming OwnedDescriptor, Endpoint?) -> Void

    /// The connection becomes a link: frames follow the request at once, and no response is made.
    var connect: HTTPRoute {
        HTTPRoute(
            "/connect",
            deciding: { [attach] _, peer in
                .handover(saying: []) { stream in attach(stream, peer) }
            }
        )
    }

    /// The connection leads to a guest's TCP port, behind two octets that say that it was
    /// understood.
    ///
    /// They come before the guest is asked: one that does not take the connection closes it. To a
    /// query with `wait=true`, which gvproxy does not know, they come when the guest has taken it,
    /// and are others; else a response tells why not.
    var tunnel: HTTPRoute {
        HTTPRoute(
            "/tunnel",
            deciding: { [connector, call] request, _ in
                do throws(ForwardError) {
                    let query = URLQuery(request.head.query ?? "")
                    let guest = try Self.guest(query)
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

    /// Says in the connection what became of it.
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
            // Nothing else is in the socket: there is room for this.
            _ = try Socket.send(client, octets)
        } catch {
            // The client is gone, which the flow notices next.
        }
    }
}
