import CLinux
import Glibc

/// Writes a text to a descriptor in one call.
func say(_ text: String, to descriptor: Int32 = STDOUT_FILENO) {
    check("write") { write(descriptor, text, text.utf8.count) }
}

/// Ends the program with an error message.
func fail(_ sentence: String) -> Never {
    say("rdnet-load: \(sentence)\n", to: STDERR_FILENO)
    exit(1)
}

/// Returns the result of a system call, or ends the program if it fails.
@discardableResult
func check<Result: FixedWidthInteger>(_ call: String, _ body: () -> Result) -> Result {
    while true {
        let result = body()
        if result != -1 { return result }
        if errno != EINTR { fail("\(call): \(String(cString: strerror(errno)))") }
    }
}

/// Returns the monotonic clock in nanoseconds.
func nanoseconds() -> UInt64 {
    var time = timespec()
    check("clock_gettime") { clock_gettime(CLOCK_MONOTONIC, &time) }
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// An IPv4 address and port.
struct Peer {
    private var address = sockaddr_in()

    /// The wildcard address.
    static func any(port: UInt16) -> Peer { Peer(host: "0.0.0.0", port: port) }

    init(host: String, port: UInt16) {
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        guard inet_pton(AF_INET, host, &address.sin_addr) == 1 else {
            fail("\"\(host)\" is not an IPv4 address")
        }
    }

    /// Passes the address to a system call.
    func lend<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        // Sound: a sockaddr_in begins like every sockaddr, and the call gets its length.
        withUnsafePointer(to: address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }
}

/// Creates a nonblocking stream or datagram socket.
func makeSocket(_ kind: __socket_type) -> Int32 {
    let flags = Int32(SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
    let descriptor = check("socket") { socket(AF_INET, Int32(kind.rawValue) | flags, 0) }
    if kind == SOCK_STREAM { setOption(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, 1) }
    return descriptor
}

/// Sets an integer option.
func setOption(_ descriptor: Int32, _ level: Int32, _ name: Int32, _ value: Int32) {
    var value = value
    check("setsockopt") {
        setsockopt(descriptor, level, name, &value, socklen_t(MemoryLayout<Int32>.size))
    }
}

/// Creates a socket that listens on a port of every address.
func listenSocket(port: UInt16) -> Int32 {
    let listener = makeSocket(SOCK_STREAM)
    setOption(listener, SOL_SOCKET, SO_REUSEADDR, 1)
    check("bind") { Peer.any(port: port).lend { bind(listener, $0, $1) } }
    check("listen") { listen(listener, 4_096) }
    return listener
}

/// Accepts the next connection, if any; it does not block.
func acceptConnection(_ listener: Int32) -> Int32? {
    let flags = Int32(SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
    let descriptor = accept4(listener, nil, nil, flags)
    guard descriptor >= 0 else { return nil }
    setOption(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, 1)
    return descriptor
}

/// Starts a connection without waiting.
func startConnection(to peer: Peer) -> Int32 {
    let descriptor = makeSocket(SOCK_STREAM)
    let result = peer.lend { connect(descriptor, $0, $1) }
    if result != 0, errno != EINPROGRESS { fail("connect: \(String(cString: strerror(errno)))") }
    return descriptor
}

/// Returns the error of a failed connection; 0 if it succeeded.
func connectionError(_ descriptor: Int32) -> Int32 {
    var code: Int32 = 0
    var length = socklen_t(MemoryLayout<Int32>.size)
    check("getsockopt") { getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &length) }
    return code
}

/// Raises the process's limit on descriptors as far as permitted.
func raiseDescriptorLimit() {
    var limit = rlimit()
    check("getrlimit") { getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) }
    limit.rlim_cur = max(limit.rlim_cur, min(limit.rlim_max, 131_072))
    check("setrlimit") { setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) }
}

/// Readiness of many descriptors: epoll(7).
struct Readiness {
    private let descriptor = check("epoll_create1") { epoll_create1(Int32(EPOLL_CLOEXEC)) }
    private var events = [epoll_event](repeating: epoll_event(), count: 256)

    /// Watches a descriptor, by default only for reading.
    func watch(_ watched: Int32, reading: Bool = true, writing: Bool = false, isNew: Bool) {
        var event = epoll_event()
        event.events = (reading ? EPOLLIN.rawValue : 0) | (writing ? EPOLLOUT.rawValue : 0)
        event.data.fd = watched
        check("epoll_ctl") {
            epoll_ctl(descriptor, isNew ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, watched, &event)
        }
    }

    /// Closes the descriptor.
    func end() {
        close(descriptor)
    }

    /// Waits up to this many milliseconds; returns the ready descriptors.
    mutating func wait(milliseconds: Int32) -> [Int32] {
        let count = check("epoll_wait") {
            epoll_wait(descriptor, &events, Int32(events.count), milliseconds)
        }
        return events.prefix(Int(count)).map(\.data.fd)
    }
}
