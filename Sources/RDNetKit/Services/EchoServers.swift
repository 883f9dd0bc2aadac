/// Servers on 127.0.0.1 that echo, and one that discards: the host's ends of a connectivity report.
final class EchoServers: ReadinessObserver {
    private static let maximumStreams = 16

    private let loop: EventLoop
    private let datagrams: OwnedDescriptor
    private var watch: EventLoop.Watch?
    private var listener: StreamListener?
    private var discarding: StreamListener?
    private var streams: [EchoStream] = []
    private let buffer: UnsafeMutableRawBufferPointer
    /// The UDP port, which the kernel chose.
    let datagramPort: UInt16
    var streamPort: UInt16 { listener?.endpoint?.port ?? 0 }
    /// The port of the server that discards (RFC 863).
    var discardPort: UInt16 { discarding?.endpoint?.port ?? 0 }

    /// Opens both servers.
    ///
    /// - Parameter loop: The event loop.
    /// - Throws: `SystemError` when no port is available.
    init(loop: EventLoop) throws(SystemError) {
        self.loop = loop
        let anyPort = Endpoint(address: .loopbackIPv4, port: 0)
        datagrams = try ListeningSocket.udp(anyPort)
        datagramPort = try Socket.localAddress(datagrams).endpoint?.port ?? 0
        buffer = .allocate(byteCount: 1 << 16, alignment: 16)
        watch = try loop.watch(datagrams.number, for: .readable, observer: self)
        listener = try StreamListener(try ListeningSocket.tcp(anyPort), loop: loop) {
            [unowned self] stream, _ in take(stream, echoes: true)
        }
        discarding = try StreamListener(try ListeningSocket.tcp(anyPort), loop: loop) {
            [unowned self] stream, _ in take(stream, echoes: false)
        }
    }

    deinit {
        buffer.deallocate()
    }

    private func take(_ stream: consuming OwnedDescriptor, echoes: Bool) {
        guard streams.count < Self.maximumStreams else { return }
        do {
            streams.append(try EchoStream(stream, echoes: echoes, loop: loop))
        } catch {
            // Without a watch the connection closes, which the client notices.
        }
    }

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        do {
            guard let (count, sender) = try Socket.receiveDatagram(datagrams, into: buffer) else {
                return
            }
            let payload = UnsafeRawBufferPointer(rebasing: buffer[..<count])
            _ = try Socket.sendDatagram(datagrams, payload, to: sender)
        } catch {
            // The client no longer exists, so no answer is due.
        }
    }

    /// Closes both servers and their connections.
    func close() {
        listener?.close()
        discarding?.close()
        if let watch { loop.forget(watch) }
        watch = nil
        for stream in streams { stream.close() }
        streams = []
    }
}

/// One connection that discards its bytes, or echoes them; it then reads only after all earlier
/// bytes are sent.
private final class EchoStream: ReadinessObserver {
    private let loop: EventLoop
    private let descriptor: OwnedDescriptor
    private let echoes: Bool
    private var watch: EventLoop.Watch?
    private var waiting = OctetQueue(SpareBuffers())
    private let buffer: UnsafeMutableRawBufferPointer

    init(
        _ descriptor: consuming OwnedDescriptor,
        echoes: Bool,
        loop: EventLoop
    ) throws(SystemError) {
        self.loop = loop
        self.descriptor = descriptor
        self.echoes = echoes
        buffer = .allocate(byteCount: 1 << 18, alignment: 16)
        watch = try loop.watch(self.descriptor.number, for: .readable, observer: self)
    }

    deinit {
        buffer.deallocate()
    }

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        do {
            if waiting.isEmpty {
                guard let count = try Socket.receive(descriptor, into: buffer) else { return }
                if count == 0 { return close() }
                guard echoes else { return }
                waiting.append(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            }
            try waiting.drain { (octets) throws(SystemError) in
                try Socket.send(descriptor, octets)
            }
            if let watch { loop.change(watch, to: waiting.isEmpty ? .readable : .writable) }
        } catch {
            close()
        }
    }

    func close() {
        if let watch { loop.forget(watch) }
        watch = nil
        Socket.shutDownBoth(descriptor)
    }
}
