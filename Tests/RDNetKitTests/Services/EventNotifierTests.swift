import Glibc
import Testing

@testable import RDNetKit

/// A notifier on a manual clock, and the socket that receives its events.
private final class NotifierScene {
    let clock = HandMovedClock()
    let loop: EventLoop
    let directory = TemporaryDirectory()
    private(set) var logged = ""
    private var listener: OwnedDescriptor?

    init() throws {
        let clock = clock
        loop = try EventLoop { clock.now }
    }

    var path: String { directory.file("events") }

    func makeNotifier() -> EventNotifier {
        let log = Logger(
            level: .info,
            clock: { WallTime(seconds: 0, utcOffset: 0) },
            sink: { [unowned self] octets in
                logged += String(decoding: octets, as: UTF8.self)
                return octets.count
            }
        )
        return EventNotifier(path: path, loop: loop, log: log)
    }

    /// Listens with a backlog; the kernel queues one connection more.
    func listen(backlog: Int32) throws {
        let socket = try ListeningSocket.unix(path: path)
        #expect(Glibc.listen(socket.number, backlog) == 0)
        listener = .some(socket)
    }

    /// Returns the next connection's data up to its end; nil if none waits.
    func next() throws -> String? {
        switch listener {
        case .some(let listener):
            guard let accepted = try Socket.accept(listener) else { return nil }
            let peer = HostPeer(try accepted.descriptor.duplicate())
            let text = peer.text
            #expect(peer.readsEnd())
            return text
        case .none: return nil
        }
    }

    func pass(_ time: Duration) throws {
        clock.advance(time)
        for _ in 0..<3 { try loop.turn(waitingAtMost: .zero) }
    }
}

@Suite("notifications")
struct EventNotifierTests {
    @Test(
        "an event is one line of JSON",
        arguments: [
            (NetworkEvent.ready, #"{"notification_type":"ready"}"#),
            (
                .connectionEstablished(.standardGuest),
                #"{"notification_type":"connection_established","mac_address":"5a:94:ef:e4:0c:ee"}"#
            ),
            (
                .connectionClosed(.standardGuest),
                #"{"notification_type":"connection_closed","mac_address":"5a:94:ef:e4:0c:ee"}"#
            ),
            (.hypervisorError, #"{"notification_type":"hypervisor_error"}"#),
        ]
    )
    func lines(event: NetworkEvent, expected: String) {
        #expect(String(decoding: event.notification ?? [], as: UTF8.self) == expected + "\n")
    }

    @Test func `each event has a connection of its own, in order`() throws {
        let scene = try NotifierScene()
        try scene.listen(backlog: 10)
        let notifier = scene.makeNotifier()
        notifier.tell(.ready)
        notifier.tell(.hypervisorError)
        #expect(try scene.next() == nil)
        try scene.pass(.milliseconds(1))
        #expect(try scene.next() == "{\"notification_type\":\"ready\"}\n")
        #expect(try scene.next() == "{\"notification_type\":\"hypervisor_error\"}\n")
        #expect(try scene.next() == nil)
    }

    @Test func `nobody there costs the events and one warning`() throws {
        let scene = try NotifierScene()
        let notifier = scene.makeNotifier()
        for _ in 0..<5 {
            notifier.tell(.ready)
            try scene.pass(.milliseconds(1))
        }
        let reason = "cannot dial notification socket: connect \(scene.path): No such file or"
        #expect(scene.logged.contains("failed to send notification: \(reason)"))
        #expect(scene.logged.split(separator: "\n").count == 1)
        try scene.listen(backlog: 10)
        notifier.tell(.hypervisorError)
        try scene.pass(.milliseconds(1))
        #expect(try scene.next() == "{\"notification_type\":\"hypervisor_error\"}\n")
        #expect(try scene.next() == nil)
    }

    @Test func `a listener that takes nothing is tried again, 100 events wait for it`() throws {
        let scene = try NotifierScene()
        try scene.listen(backlog: 0)
        let notifier = scene.makeNotifier()
        notifier.tell(.ready)
        try scene.pass(.milliseconds(1))
        for _ in 0..<150 { notifier.tell(.hypervisorError) }
        #expect(scene.logged.contains("too many notifications wait: 100"))
        try scene.pass(.milliseconds(1))
        var told = 0
        while told < 110, let line = try scene.next() {
            #expect(line == (told == 0 ? NetworkEvent.ready : .hypervisorError).text)
            told += 1
            try scene.pass(.milliseconds(30))
        }
        #expect(told == 101)
    }

    @Test func `what nobody takes for five seconds is given up`() throws {
        let scene = try NotifierScene()
        try scene.listen(backlog: 0)
        let notifier = scene.makeNotifier()
        for _ in 0..<3 { notifier.tell(.ready) }
        try scene.pass(.milliseconds(1))
        try scene.pass(.milliseconds(4_900))
        #expect(scene.logged.isEmpty)
        try scene.pass(.milliseconds(200))
        #expect(scene.logged.contains("too many connections wait"))
        notifier.tell(.hypervisorError)
        #expect(try scene.next() == NetworkEvent.ready.text)
        try scene.pass(.milliseconds(30))
        #expect(try scene.next() == NetworkEvent.hypervisorError.text)
    }
}

extension NetworkEvent {
    fileprivate var text: String { String(decoding: notification ?? [], as: UTF8.self) }
}
