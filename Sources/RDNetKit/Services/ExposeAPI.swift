/// VPNKit's HTTP API: exposes ports on the host that lead into the VM.
///
/// Paths, methods, codes and texts are those of VPNKit's Go programs, which use the echo framework.
struct ExposeAPI {
    /// Why a request is refused.
    private enum Refusal: Error {
        /// The whole answer is a JSON string.
        case text(String)
        case message(String, status: Int = 400)
    }

    let ports: ExposedPorts
    /// The state for `/forwards/dump`.
    let report: () -> String

    /// The answer for a path that does not exist.
    static let unknownPath = message("Not Found", status: 404)

    /// The routes.
    var routes: [HTTPRoute] {
        let prefix = "/forwards"
        return [
            route("\(prefix)/expose/port", "PUT", transports: [.tcp, .udp], ports.expose),
            route("\(prefix)/expose/pipe", "PUT", transports: [.unix], ports.expose),
            route("\(prefix)/unexpose/port", "DELETE", transports: [.tcp, .udp], ports.unexpose),
            route("\(prefix)/unexpose/pipe", "DELETE", transports: [.unix], ports.unexpose),
            HTTPRoute("\(prefix)/list") { request, _ in
                guard request.head.method == "GET" else { return Self.wrongMethod }
                let list = ports.list.map(Self.json)
                return Self.json(list.isEmpty ? .null : .array(list))
            },
            HTTPRoute("\(prefix)/dump") { request, _ in
                guard request.head.method == "GET" else { return Self.wrongMethod }
                return .content(Array(report().utf8), type: "text/plain")
            },
        ]
    }

    private func route(
        _ path: String,
        _ method: String,
        transports: [ForwardProtocol],
        _ change: @escaping (ExposedPort) throws -> Void
    ) -> HTTPRoute {
        HTTPRoute(path) { request, _ in
            // Old clients post everything.
            guard [method, "POST"].contains(request.head.method) else { return Self.wrongMethod }
            do {
                try change(Self.port(in: request, of: transports))
                return .empty
            } catch Refusal.text(let text) {
                return Self.json(.string(text), status: 400)
            } catch Refusal.message(let text, let status) {
                return Self.message(text, status: status)
            } catch {
                return Self.message("\(error)", status: 400)
            }
        }
    }

    // MARK: Requests

    private static func port(
        in request: HTTPRequest,
        of transports: [ForwardProtocol]
    ) throws -> ExposedPort {
        let body = try body(of: request)
        guard let name = try text("proto", body), let transport = ForwardProtocol(rawValue: name),
            transports.contains(transport)
        else {
            throw Refusal.text(
                transports == [.unix]
                    ? "exposed pipes can only have proto=Unix"
                    : "exposed ports can only be TCP or UDP"
            )
        }
        var port = ExposedPort(transport: transport)
        port.annotation = try text("annotation", body) ?? ""
        if transport == .unix {
            port.outsidePath = try text("out_path", body) ?? ""
            port.insidePath = try text("in_path", body) ?? ""
        } else {
            port.outsideAddress = try address("out_ip", body)
            port.outsidePort = try number("out_port", body)
            port.insideAddress = try address("in_ip", body)
            port.insidePort = try number("in_port", body)
        }
        return port
    }

    private static func body(of request: HTTPRequest) throws -> JSON {
        guard !request.body.isEmpty else { return .object([]) }
        let type = request.head.values(of: "content-type").first ?? ""
        guard type.lowercased().hasPrefix("application/json") else {
            throw Refusal.message("Unsupported Media Type", status: 415)
        }
        do {
            return try JSONParser.parse(request.body)
        } catch {
            throw Refusal.message("Syntax error: error=\(error)")
        }
    }

    private static func text(_ field: String, _ body: JSON) throws -> String? {
        switch body.member(field) {
        case nil, .null: return nil
        case .string(let text): return text
        case .some(let value): throw wrongKind(value, field, expected: "string")
        }
    }

    private static func address(_ field: String, _ body: JSON) throws -> IPAddress? {
        guard let text = try text(field, body), !text.isEmpty else { return nil }
        guard let address = IPAddress(text) else {
            throw Refusal.message("invalid IP address: \(text)")
        }
        return address
    }

    private static func number(_ field: String, _ body: JSON) throws -> UInt16 {
        switch body.member(field) {
        case nil, .null: return 0
        case .number(let digits):
            guard let number = UInt16(digits) else {
                throw wrongKind(.number(digits), field, expected: "uint16")
            }
            return number
        case .some(let value): throw wrongKind(value, field, expected: "uint16")
        }
    }

    private static func wrongKind(_ value: JSON, _ field: String, expected: String) -> Refusal {
        var kind = value.kind
        if case .number(let digits) = value { kind += " \(digits)" }
        return .message("Unmarshal type error: expected=\(expected), got=\(kind), field=\(field)")
    }

    // MARK: Answers

    private static let wrongMethod = message("Method Not Allowed", status: 405)

    static func message(_ text: String, status: Int) -> HTTPResponse {
        json(.object([JSON.Member("message", .string(text))]), status: status)
    }

    private static func json(_ value: JSON, status: Int = 200) -> HTTPResponse {
        var response = HTTPResponse.content(
            value.octets + [0x0a],
            type: "application/json; charset=UTF-8"
        )
        response.status = status
        return response
    }

    private static func json(_ port: ExposedPort) -> JSON {
        var members = [JSON.Member("proto", .string("\(port.transport)"))]
        func add(_ name: String, _ text: String?) {
            guard let text, !text.isEmpty else { return }
            members.append(JSON.Member(name, .string(text)))
        }
        func add(_ name: String, _ number: UInt16) {
            guard number > 0 else { return }
            members.append(JSON.Member(name, .integer(UInt64(number))))
        }
        add("out_ip", port.outsideAddress?.description)
        add("out_port", port.outsidePort)
        add("out_path", port.outsidePath)
        add("in_ip", port.insideAddress?.description)
        add("in_port", port.insidePort)
        add("in_path", port.insidePath)
        add("annotation", port.annotation)
        return .object(members)
    }
}
