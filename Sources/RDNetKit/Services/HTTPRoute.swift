/// A path that an HTTP server answers, and how.
struct HTTPRoute {
    /// The whole path, without a query.
    let path: String
    /// Answers one request; the endpoint is the client's, nil for one on a unix socket.
    let answer: (HTTPRequest, Endpoint?) -> HTTPResponse

    init(_ path: String, _ answer: @escaping (HTTPRequest, Endpoint?) -> HTTPResponse) {
        self.path = path
        self.answer = answer
    }
}

/// Finds the route of a request, as Go's request multiplexer does.
struct HTTPRouter {
    private let routes: [String: HTTPRoute]

    /// Makes a router; of two routes for a path the later one counts.
    init(_ routes: [HTTPRoute]) {
        self.routes = Dictionary(routes.map { ($0.path, $0) }) { $1 }
    }

    /// The answer to a request of a client.
    func answer(_ request: HTTPRequest, from peer: Endpoint?) -> HTTPResponse {
        let head = request.head
        if head.path == "*" {
            return head.method == "OPTIONS"
                ? .empty : .refusal(.malformed("invalid request target"))
        }
        let path = URLPath.cleaned(head.path)
        guard path == head.path else {
            let query = head.query.map { "?" + $0 } ?? ""
            return .redirect(to: URLPath.encoded(path) + query, method: head.method)
        }
        return routes[path]?.answer(request, peer) ?? .error(404, "404 page not found")
    }
}
