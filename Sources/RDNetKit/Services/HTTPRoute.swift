/// An HTTP server's reaction to a request.
enum HTTPOutcome {
    case response(HTTPResponse)
    /// Hands over the connection, which still contains the bytes that the client sent after the
    /// request.
    ///
    /// The bytes in `saying` go to the client first, unchanged and without a response.
    case handover(saying: [UInt8], to: HTTPHandover)
}

/// Takes a connection over from an HTTP server: a connected, non-blocking stream socket.
typealias HTTPHandover = (consuming OwnedDescriptor) -> Void

/// A path of an HTTP server, and the handler of its requests.
struct HTTPRoute {
    /// The whole path, without a query.
    let path: String
    /// Handles one request; the endpoint is the client's, nil on a unix socket.
    let decide: (HTTPRequest, Endpoint?) -> HTTPOutcome

    /// Creates a route that may hand its connections over.
    init(_ path: String, deciding decide: @escaping (HTTPRequest, Endpoint?) -> HTTPOutcome) {
        self.path = path
        self.decide = decide
    }

    /// Creates a route that answers.
    init(_ path: String, _ answer: @escaping (HTTPRequest, Endpoint?) -> HTTPResponse) {
        self.init(path) { .response(answer($0, $1)) }
    }

    /// Creates a route that changes something, by POST only.
    init(posting path: String, _ change: @escaping (HTTPRequest, Endpoint?) -> HTTPResponse) {
        self.init(posting: path, deciding: { .response(change($0, $1)) })
    }

    /// Creates a route for POST only that may hand its connections over.
    private init(
        posting path: String,
        deciding decide: @escaping (HTTPRequest, Endpoint?) -> HTTPOutcome
    ) {
        self.init(
            path,
            deciding: { request, peer in
                // gvproxy's text.
                request.head.method == "POST"
                    ? decide(request, peer) : .response(.error(400, "post only"))
            }
        )
    }

    /// Creates a route that makes the change described by a JSON body, by POST only.
    ///
    /// - Parameters:
    ///   - path: The whole path.
    ///   - read: Converts the body to a value; an error becomes the text of a status 400.
    ///   - change: Makes the change and answers.
    init<Value>(
        posting path: String,
        _ read: @escaping (JSON) throws -> Value,
        _ change: @escaping (Value, Endpoint?) -> HTTPResponse
    ) {
        self.init(posting: path, read, deciding: { .response(change($0, $1)) })
    }

    /// Creates the same route, which may hand its connections over.
    init<Value>(
        posting path: String,
        _ read: @escaping (JSON) throws -> Value,
        deciding decide: @escaping (Value, Endpoint?) -> HTTPOutcome
    ) {
        self.init(
            posting: path,
            deciding: { request, peer in
                do {
                    return decide(try read(JSONParser.parse(request.body)), peer)
                } catch {
                    return .response(.error(400, "\(error)"))
                }
            }
        )
    }
}

extension HTTPResponse {
    /// Creates a 200 response with one line of JSON; like gvproxy's, it does not declare its type
    /// as JSON.
    static func json(_ value: JSON) -> HTTPResponse {
        content(value.octets + [0x0a])
    }
}

/// Finds the route of a request, as Go's request multiplexer does.
struct HTTPRouter {
    /// The answer for unknown paths; the text is Go's.
    static let unknownPath = HTTPResponse.error(404, "404 page not found")

    private let routes: [String: HTTPRoute]
    private let unknownPath: HTTPResponse

    /// Creates a router; if two routes have the same path, the later one counts.
    init(_ routes: [HTTPRoute], unknownPath: HTTPResponse = Self.unknownPath) {
        self.routes = Dictionary(routes.map { ($0.path, $0) }) { $1 }
        self.unknownPath = unknownPath
    }

    /// Returns the reaction to a client's request.
    func decide(_ request: HTTPRequest, from peer: Endpoint?) -> HTTPOutcome {
        let head = request.head
        if head.path == "*" {
            return .response(
                head.method == "OPTIONS" ? .empty : .refusal(.malformed("invalid request target"))
            )
        }
        let path = URLPath.cleaned(head.path)
        guard path == head.path else { return .response(head.redirect(to: path)) }
        return routes[path]?.decide(request, peer) ?? .response(unknownPath)
    }
}

extension HTTPRequestHead {
    /// Creates a redirect of this request to another path, with its query.
    func redirect(to path: String) -> HTTPResponse {
        .redirect(to: URLPath.encoded(path) + (query.map { "?" + $0 } ?? ""), method: method)
    }
}
