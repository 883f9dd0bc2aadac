/// A server for any number of TCP connections.
protocol StreamServer {
    var listener: Int32 { get }
    /// Already watches the listener.
    var readiness: Readiness { get set }
    /// Records a new connection; the caller watches it for reading.
    mutating func accepted(_ descriptor: Int32)
    /// Continues a connection that is ready.
    mutating func serve(_ descriptor: Int32)
}

extension StreamServer {
    /// Serves until the process is killed.
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
