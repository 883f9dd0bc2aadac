/// The live captures of a network: `/capture/stream`.
final class CaptureStreams {
    static let path = "/capture/stream"
    /// Limit on live captures.
    static let maximum = 8

    private let ethernet: VirtualEthernet
    private let counters: CaptureCounters
    private let loop: EventLoop
    private let application: String
    /// The names of addresses that are known when a capture begins.
    private let names: () -> [(address: IPAddress, name: String)]
    private var streams: [CaptureStream] = []

    /// Creates the object without captures.
    init(
        _ ethernet: VirtualEthernet,
        counters: CaptureCounters,
        loop: EventLoop,
        application: String,
        names: @escaping () -> [(address: IPAddress, name: String)]
    ) {
        self.ethernet = ethernet
        self.counters = counters
        self.loop = loop
        self.application = application
        self.names = names
    }

    /// Answers with a pcapng file that grows until the client disconnects, or until it has as many
    /// frames or bytes as it wants: `?filter=tcp%20and%20port%20443&frames=100&bytes=1000000`.
    var route: HTTPRoute {
        HTTPRoute(
            Self.path,
            deciding: { [unowned self] request, _ in
                let query = URLQuery(request.head.query ?? "")
                do throws(CaptureWishError) {
                    let wish = try CaptureWish { query[$0] }
                    guard streams.count < Self.maximum else {
                        let text = "\(Self.maximum) captures run, the maximum"
                        return .response(.error(503, text))
                    }
                    return .handover(saying: Self.head) { [unowned self] in start($0, wish) }
                } catch {
                    return .response(.error(400, error.description))
                }
            }
        )
    }

    private static let head = Array(
        "HTTP/1.1 200 OK\r\nContent-Type: application/x-pcapng\r\nConnection: close\r\n\r\n".utf8
    )

    private func start(_ stream: consuming OwnedDescriptor, _ wish: CaptureWish) {
        let known = names()
        let start =
            CaptureBlocks.section(application: application)
            + (known.isEmpty ? [] : CaptureBlocks.names(known))
        do {
            let capture = try CaptureStream(
                stream,
                wish,
                start: start,
                counters: counters,
                loop: loop
            ) { [weak self] in self?.remove($0) }
            streams.append(capture)
            ethernet.taps.append(capture)
        } catch {
            // The connection closes with the stream.
        }
    }

    private func remove(_ capture: CaptureStream) {
        streams.removeAll { $0 === capture }
        ethernet.taps.removeAll { $0 === capture }
    }

    /// Passes on that a guest has learned the name of an address.
    func learned(_ address: IPAddress, _ name: String) {
        for stream in streams { stream.learned(address, name) }
    }

    /// Ends all captures.
    func close() {
        for stream in streams {
            stream.flush()
            stream.close()
        }
    }
}
