/// The API's ways into the virtual network: one more link, or a TCP connection to a guest.
///
/// Either takes the HTTP connection over.
struct GuestAccessAPI {
    /// Opens connections to guests.
    let connector: any GuestConnector
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

    /// The connection leads to a guest's TCP port, behind two octets that say that it was understood.
    ///
    /// They come before the guest is asked: one that does not take the connection closes it.
    var tunnel: HTTPRoute {
        HTTPRoute(
            "/tunnel",
            deciding: { [connector] request, _ in
                do throws(ForwardError) {
                    let guest = try Self.guest(request.head.query ?? "")
                    return .handover(saying: Array("OK".utf8)) { stream in
                        connector.connect(to: guest, joining: stream)
                    }
                } catch {
                    return .response(.error(500, error.description))
                }
            }
        )
    }

    private static func guest(_ query: String) throws(ForwardError) -> Endpoint {
        let query = URLQuery(query)
        let address = query["ip"] ?? ""
        guard !address.isEmpty else { throw .missingAddress }
        return try ForwardAddress.guest(address, port: query["port"] ?? "")
    }
}
