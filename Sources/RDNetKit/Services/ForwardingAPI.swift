/// The API's forwards, with gvproxy's paths, codes and texts.
struct ForwardingAPI {
    static let expose = JSONRecord(
        name: "ExposeRequest",
        fields: [
            ("local", "string"), ("remote", "string"), ("protocol", "types.TransportProtocol"),
        ]
    )
    private static let unexpose = JSONRecord(
        name: "UnexposeRequest",
        fields: [("local", "string"), ("protocol", "types.TransportProtocol")]
    )

    static let holdPath = "/services/forwarder/hold"

    let forwards: any ForwardAccess
    /// Watches the connections that hold forwards.
    let loop: EventLoop

    var routes: [HTTPRoute] {
        [
            HTTPRoute("/services/forwarder/all") { request, _ in
                let query = URLQuery(request.head.query ?? "")
                return .json(list(withDetails: query["details"] == "true"))
            },
            HTTPRoute(posting: "/services/forwarder/expose", Self.expose.read) { fields, peer in
                change { () throws(ForwardError) in
                    try forwards.expose(
                        fields["protocol", default: ""],
                        local: fields["local", default: ""],
                        remote: fields["remote", default: ""],
                        client: peer?.address
                    )
                }
            },
            hold,
            HTTPRoute(posting: "/services/forwarder/unexpose", Self.unexpose.read) { fields, _ in
                change { () throws(ForwardError) in
                    try forwards.unexpose(
                        fields["protocol", default: ""],
                        local: fields["local", default: ""]
                    )
                }
            },
        ]
    }

    /// Opens a forward that ends with the client's connection; gvproxy has no such path.
    ///
    /// The response's body has one line for each listening address, and ends with the forward.
    private var hold: HTTPRoute {
        HTTPRoute(
            posting: Self.holdPath,
            Self.expose.read,
            deciding: { fields, peer in
                do throws(ForwardError) {
                    let handle = try forwards.hold(
                        fields["protocol", default: ""],
                        local: fields["local", default: ""],
                        remote: fields["remote", default: ""],
                        client: peer?.address
                    )
                    return .handover(saying: Self.holding(handle.addresses)) { stream in
                        do {
                            let held = try HeldForward(by: stream, loop: loop) {
                                handle.close()
                            }
                            handle.ended = { [weak held] in held?.close() }
                        } catch {
                            // The connection closes with the stream, and the forward with it.
                            handle.close()
                        }
                    }
                } catch {
                    return .response(.error(error.status, error.description))
                }
            }
        )
    }

    /// The response's head, and the part of the body that is known at once.
    static func holding(_ addresses: [String]) -> [UInt8] {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n"
        let lines = addresses.map { $0 + "\n" }.joined()
        return Array((head + "Connection: close\r\n\r\n" + lines).utf8)
    }

    /// gvproxy's list; with details, what the clients of each forward have met.
    private func list(withDetails: Bool) -> JSON {
        .array(
            forwards.entries.map { entry in
                let members = [
                    JSON.Member("local", .string(entry.local)),
                    JSON.Member("remote", .string(entry.remote)),
                    JSON.Member("protocol", .string(entry.transport.rawValue)),
                ]
                let usage = withDetails ? forwards.usage(of: entry) : nil
                return .object(members + (usage?.members(now: loop.now) ?? []))
            }
        )
    }

    private func change(_ body: () throws(ForwardError) -> Void) -> HTTPResponse {
        do {
            try body()
            return .empty
        } catch {
            return .error(error.status, error.description)
        }
    }
}

extension ForwardUsage {
    /// The members of a listed forward with details.
    fileprivate func members(now: Instant) -> [JSON.Member] {
        var members = [
            JSON.Member("connections", .integer(clients)),
            JSON.Member("failures", .integer(failures)),
            JSON.Member("age", .seconds(now - opened)),
        ]
        if let last {
            members.append(JSON.Member("lastResult", .string(last.answer.word)))
            members.append(JSON.Member("lastResultAge", .seconds(now - last.time)))
        }
        return members
    }
}

extension GuestAnswer {
    /// The answer in a word or two, as the API shows it.
    fileprivate var word: String {
        switch self {
        case .connected: "connected"
        case .refused: "refused"
        case .silent: "no answer"
        case .absent: "no such guest"
        case .impossible: "not possible"
        }
    }
}
