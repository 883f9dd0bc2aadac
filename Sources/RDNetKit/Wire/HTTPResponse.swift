/// An HTTP response from a route; the server adds Date and the connection fields.
struct HTTPResponse: Equatable {
    var status: Int
    var fields: [HTTPField]
    var body: [UInt8]

    /// 200 without a body.
    static let empty = HTTPResponse(status: 200, fields: [], body: [])

    /// 200 with a body.
    static func content(_ body: [UInt8], type: String = "text/plain; charset=utf-8") -> HTTPResponse
    {
        HTTPResponse(status: 200, fields: [HTTPField("Content-Type", type)], body: body)
    }

    /// An error in one line, as Go's `http.Error` writes it.
    static func error(_ status: Int, _ text: String) -> HTTPResponse {
        HTTPResponse(
            status: status,
            fields: [
                HTTPField("Content-Type", "text/plain; charset=utf-8"),
                HTTPField("X-Content-Type-Options", "nosniff"),
            ],
            body: Array(text.utf8) + [0x0a]
        )
    }

    /// The response to a malformed request.
    static func refusal(_ error: HTTPError) -> HTTPResponse {
        let phrase = "\(error.status) \(reasonPhrase(error.status))"
        let text = error.detail.map { "\(phrase): \($0)" } ?? phrase
        return HTTPResponse(
            status: error.status,
            fields: [HTTPField("Content-Type", "text/plain; charset=utf-8")],
            body: Array(text.utf8)
        )
    }

    /// A redirect; GET gets the small HTML body that Go's server writes.
    static func redirect(to location: String, method: String) -> HTTPResponse {
        var response = HTTPResponse(
            status: 307,
            fields: [HTTPField("Location", location)],
            body: []
        )
        guard method == "GET" || method == "HEAD" else { return response }
        let escaped = location.map { character in
            switch character {
            case "&": "&amp;"
            case "<": "&lt;"
            case ">": "&gt;"
            case "\"": "&#34;"
            case "'": "&#39;"
            default: String(character)
            }
        }.joined()
        response.fields.append(HTTPField("Content-Type", "text/html; charset=utf-8"))
        response.body = Array("<a href=\"\(escaped)\">Temporary Redirect</a>.\n\n".utf8)
        return response
    }

    /// How a response is sent to one request.
    struct Delivery {
        /// The minor version of the request; an HTTP/1.0 client gets an HTTP/1.0 response.
        var minorVersion = 1
        var keepsAlive = true
        /// A response to HEAD has the body's length but no body.
        var omitsBody = false
        /// Seconds since 1970, for the Date field.
        var date: Int64
    }

    /// Appends the response to a buffer.
    func write(to output: inout [UInt8], _ delivery: Delivery) {
        var head = "HTTP/1.\(delivery.minorVersion) \(status) \(Self.reasonPhrase(status))\r\n"
        for field in fields { head += "\(field.name): \(field.value)\r\n" }
        head += "Date: \(HTTPDate.text(delivery.date))\r\n"
        head += "Content-Length: \(body.count)\r\n"
        if !delivery.keepsAlive {
            head += "Connection: close\r\n"
        } else if delivery.minorVersion == 0 {
            head += "Connection: keep-alive\r\n"
        }
        output += Array(head.utf8) + [0x0d, 0x0a]
        if !delivery.omitsBody { output += body }
    }

    private static func reasonPhrase(_ status: Int) -> String {
        switch status {
        case 200: "OK"
        case 307: "Temporary Redirect"
        case 400: "Bad Request"
        case 401: "Unauthorized"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 413: "Request Entity Too Large"
        case 415: "Unsupported Media Type"
        case 417: "Expectation Failed"
        case 431: "Request Header Fields Too Large"
        case 500: "Internal Server Error"
        case 501: "Not Implemented"
        case 502: "Bad Gateway"
        case 503: "Service Unavailable"
        case 505: "HTTP Version Not Supported"
        default: "Status"
        }
    }
}

/// The date of an HTTP message (RFC 9110, section 5.6.7).
enum HTTPDate {
    private static let days = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]
    private static let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]

    /// `Sun, 06 Nov 1994 08:49:37 GMT` for seconds since 1970.
    static func text(_ seconds: Int64) -> String {
        let seconds = min(max(seconds, 0), 253_402_300_799)
        let (day, second) = (Int(seconds / 86_400), Int(seconds % 86_400))
        let (year, month, dayOfMonth) = civil(day)
        let time = [second / 3600, second / 60 % 60, second % 60].map(twoDigits)
        return days[day % 7] + ", \(twoDigits(dayOfMonth)) \(months[month - 1]) \(year) "
            + time.joined(separator: ":") + " GMT"
    }

    /// The Gregorian date of a day since 1970-01-01, counted in years that begin in March.
    private static func civil(_ day: Int) -> (year: Int, month: Int, day: Int) {
        let shifted = day + 719_468
        let era = shifted / 146_097
        let dayOfEra = shifted % 146_097
        let year =
            (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * year + year / 4 - year / 100)
        let marchMonth = (5 * dayOfYear + 2) / 153
        let month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9
        let first = (153 * marchMonth + 2) / 5
        return (year + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - first + 1)
    }

    private static func twoDigits(_ number: Int) -> String {
        number < 10 ? "0\(number)" : "\(number)"
    }
}
