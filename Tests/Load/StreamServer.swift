/// A server of any number of TCP connections.
protocol StreamServer {
    var listener: Int32 { get }
    /// Watches the listener already.
    var readiness: Readiness { get set }
    /// Takes note of a new connection, which is watched for reading.
    mutating func accepted(_ descriptor: Int32)
    /// Goes on with a connection that is ready.
    mutating func serve(_ descriptor: Int32)
}

extension StreamServer {
    /// Serves until the process is ended.
    mutating func run() -> Never {
        while true {
            for descriptor in readiness.wait(milliseconds: -1) {
                if descriptor == listener { acceptAll() } else { serve(descriptor) }
            }
        }
    }

    private mutating func acceptAll() {
        while let descriptor = acceptConnection(listener) {
            accepted(descriptor)
            readiness.watch(descriptor, isNew: true)
        }
    }
}
