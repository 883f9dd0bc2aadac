/// The API's stream of events, for the host only.
struct EventAPI {
    static let path = "/events"

    let feed: EventFeed
    let loop: EventLoop
    let wallTime: () -> WallTime

    /// Answers with a line of JSON for each event from now on, until the client disconnects.
    ///
    /// A query such as `type=flow,drop` chooses kinds of events.
    var route: HTTPRoute {
        HTTPRoute(
            Self.path,
            deciding: { request, _ in
                let words = URLQuery(request.head.query ?? "")["type"] ?? ""
                var kinds = EventKind.allCases
                if !words.isEmpty {
                    let chosen = words.split(separator: ",").map { EventKind(rawValue: "\($0)") }
                    kinds = chosen.compactMap(\.self)
                    guard !chosen.contains(nil) else {
                        let all = EventKind.allCases.map(\.rawValue).joined(separator: ", ")
                        return .response(.error(400, "type: expected some of \(all)"))
                    }
                }
                guard feed.hasRoom else {
                    let maximum = EventFeed.maximumWatchers
                    return .response(.error(503, "\(maximum) clients watch events, the maximum"))
                }
                return .handover(saying: Self.head) { stream in
                    do {
                        try EventWatcher(stream, kinds, of: feed, loop: loop, wallTime: wallTime)
                    } catch {
                        // The connection closes with the stream.
                    }
                }
            }
        )
    }

    private static let head = Array(
        "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nConnection: close\r\n\r\n".utf8
    )
}
