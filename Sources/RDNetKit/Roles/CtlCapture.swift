/// What `ctl capture` records, and where.
struct CtlCaptureSettings {
    /// Empty for the network's usual one.
    var file = ""
    /// Empty for every guest.
    var guest = ""
    /// Empty for every frame.
    var filter = ""
    /// 0 for no limit.
    var frames = 0
    /// 0 for no limit.
    var octets = 0

    /// Both conditions in a filter's words.
    fileprivate var wholeFilter: String {
        let words = filter.split(separator: " ").map { $0 == "&&" ? "and" : String($0) }
        return ([guest] + [words.joined(separator: " ")]).filter { !$0.isEmpty }
            .joined(separator: " and ")
    }

    fileprivate var members: [(name: String, value: String)] {
        let path = file.isEmpty ? "" : ProcessEnvironment.absolutePath(file)
        return [
            ("file", path), ("filter", wholeFilter), ("frames", frames == 0 ? "" : "\(frames)"),
            ("bytes", octets == 0 ? "" : "\(octets)"),
        ].filter { !$0.1.isEmpty }
    }
}

extension Option<CtlSettings> {
    /// The options of `capture`.
    static let capture: [Option<CtlSettings>] = [
        Option(
            "file",
            \.capture.file,
            .optionalPath,
            reach: .commandLine,
            unset: "the file of the network's --capture",
            help: "capture on: the new file to write",
            reason: """
                A sandboxed network writes only to the file of its own --capture; capture - \
                leaves the file to the shell.
                """
        ),
        Option(
            "guest",
            \.capture.guest,
            .guest,
            reach: .commandLine,
            unset: "every guest",
            help: "capture: only frames from and to a guest, by IP or MAC address",
            reason: "A MAC address selects both families; an IP address only its own."
        ),
        Option(
            "filter",
            \.capture.filter,
            .filter,
            reach: .commandLine,
            unset: "every frame",
            help: "capture: only frames that meet conditions, such as tcp and port 443",
            reason: """
                The conditions are host ADDRESS, ether host MAC, port NUMBER, arp, ip, ip6, tcp, \
                udp and icmp (also ICMPv6), joined by and.
                """
        ),
        Option(
            "count",
            \.capture.frames,
            .integer(0...1_000_000_000, "FRAMES"),
            reach: .commandLine,
            help: "capture: end after so many frames; 0 for no limit",
            reason: "The network ends the capture by itself."
        ),
        Option(
            "size",
            \.capture.octets,
            .integer(0...1_000_000_000_000, "BYTES"),
            reach: .commandLine,
            help: "capture: end after so many bytes of frames; 0 for no limit",
            reason: "The headers of the capture file do not count."
        ),
    ]
}

extension ValueSyntax where Value == String {
    private static func filter(_ placeholder: String, expected: String) -> ValueSyntax {
        ValueSyntax(
            placeholder: placeholder,
            expected: expected,
            parse: { text in
                do {
                    _ = try CaptureFilter(text)
                    return text
                } catch {
                    return nil
                }
            },
            text: { $0 }
        )
    }

    fileprivate static let filter = filter(
        "CONDITIONS",
        expected: "conditions such as host 192.168.127.2 and tcp and port 443"
    )
    fileprivate static let guest = filter("ADDRESS", expected: "an IP or a MAC address")
}

/// The commands of `ctl` that capture frames.
extension CtlSession {
    private static let patience: Duration = .seconds(3_600)
    private static let octetsPerRead = 1 << 16

    /// Starts a capture to a file of the network.
    func startCapture() throws(APIFailure) {
        let members = settings.capture.members.map { JSON.Member($0.name, .string($0.value)) }
        try post("/capture/on", .object(members))
    }

    /// Writes frames to a descriptor as they pass, until its reader or the network ends.
    ///
    /// - Parameters:
    ///   - capture: What to capture.
    ///   - client: The network's API.
    ///   - write: Writes bytes; returns false if nobody reads them.
    /// - Throws: `APIFailure`.
    static func streamCapture(
        _ capture: CtlCaptureSettings,
        from client: APIClient,
        to write: ([UInt8]) -> Bool
    ) throws(APIFailure) {
        let query = capture.members.filter { $0.name != "file" }
            .map { "\($0.name)=\(URLPath.encoded($0.value))" }.joined(separator: "&")
        let body = try client.openBody(of: "\(CaptureStreams.path)?\(query)")
        var octets = body.start
        while octets.isEmpty || write(octets) {
            do throws(SystemError) {
                octets = try body.stream.receive(upTo: octetsPerRead, within: patience)
                if octets.isEmpty { return }
            } catch {
                guard error.isTimeout else { return }
                octets = []
            }
        }
    }

    /// The command `capture -`.
    func streamCapture() throws(APIFailure) {
        guard !StandardStream.output.isTerminal else {
            throw .refused("capture -: standard output is a terminal; expected a pipe or a file")
        }
        try Self.streamCapture(settings.capture, from: client, to: StandardStream.output.write)
    }
}
