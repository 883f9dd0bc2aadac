/// What an HTTP server does about a request.
enum HTTPOutcome {
    case response(HTTPResponse)
    /// The connection gets a new owner, which finds in it what the client sent behind the request.
    ///
    /// The octets go to the client before that, as they are: no response is made.
    case handover(saying: [UInt8], to: HTTPHandover)
}

/// Takes a connection over from an HTTP server: a connected, non-blocking stream socket.
typealias HTTPHandover = (consuming OwnedDescriptor) -> Void

/// A path that an HTTP server answers, and how.
struct HTTPRoute {
    /// The whole path, without a query.
    let path: String
    /// Decides about one request; the endpoint is the client's, nil for one on a unix socket.
    let decide: (HTTPRequest, Endpoint?) -> HTTPOutcome

    /// Makes a route that may hand its connections over.
    init(_ path: String, deciding decide: @escaping (HTTPRequest, Endpoint?) -> HTTPOutcome) {
        self.path = path
        self.decide = decide
    }

    /// Makes a route that answers.
    init(_ path: String, _ answer: @escaping (HTTPRequest, Endpoint?) -> HTTPResponse) {
        self.init(path) { .response(answer($0, $1)) }
    }

    /// Makes a route that changes something, by POST alone.
    init(posting path: String, _ change: @escaping (HTTPRequest, Endpoint?) -> HTTPResponse) {
        self.init(path) { request, peer in
            // gvproxy's words.
            request.head.method == "POST" ? change(request, peer) : .error(400, "post only")
        }
    }

    /// Makes a route that changes something, by POST alone, as a JSON body says.
    ///
    /// - Parameters:
    ///   - path: The whole path.
    ///   - read: Makes a value of the body; its error is told with status 400.
    ///   - change: Makes the change and answers.
    init<Value>(
        posting path: String,
        _ read: @escaping (JSON) throws -> Value,
        _ change: @escaping (Value, Endpoint?) -> HTTPResponse
    ) {
        self.init(posting: path) { request, peer in
            do {
                return change(try read(JSONParser.parse(request.body)), peer)
            } catch {
                return .error(400, "\(error)")
            }
        }
    }
}

extension HTTPResponse {
    /// 200 with a JSON value in a line of its own; gvproxy's replies do not say that they are JSON.
    static func json(_ value: JSON) -> HTTPResponse {
        content(value.octets + [0x0a])
    }
}

/// Finds the route of a request, as Go's request multiplexer does.
struct HTTPRouter {
    private let routes: [String: HTTPRoute]

    /// Makes a router; of two routes for a path the later one counts.
    init(_ routes: [HTTPRoute]) {
        self.routes = Dictionary(routes.map { ($0.path, $0) }) { $1 }
    }

    /// What to do about a request of a client.
    func decide(_ request: HTTPRequest, from peer: Endpoint?) -> HTTPOutcome {
        let head = request.head
        if head.path == "*" {
            return .response(
                head.method == "OPTIONS" ? .empty : .refusal(.malformed("invalid request target"))
            )
        }
        let path = URLPath.cleaned(head.path)
        guard path == head.path else { return .response(head.redirect(to: path)) }
        return routes[path]?.decide(request, peer) ?? .response(.error(404, "404 page not found"))
    }
}

extension HTTPRequestHead {
    /// A redirection of this request to another path, with its query.
    func redirect(to path: String) -> HTTPResponse {
        .redirect(to: URLPath.encoded(path) + (query.map { "?" + $0 } ?? ""), method: method)
    }
}
