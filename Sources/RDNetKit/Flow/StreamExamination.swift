/// Reads the server's name from the first bytes of a guest's stream, and from each request of plain
/// HTTP.
final class StreamExamination {
    /// What the bytes show.
    enum Finding: Equatable {
        /// Nothing yet; they must wait for more.
        case incomplete
        /// A name, after which nothing more is to be read.
        ///
        /// `hidesMore` says that the hello has an encrypted part.
        case name(ShownName, hidesMore: Bool)
    }

    /// Bytes at the front of the flow's queue that may go to the host.
    var admitted = 0
    private var hello = TLSClientHelloReader()

    /// What the bytes have shown if no more will come: a hello without its end has no name.
    var nameAtEnd: ShownName { .hidden }

    /// Reads on.
    ///
    /// - Parameter waiting: The bytes that may not leave yet, those that were shown before included.
    /// - Returns: What they show.
    func read(_ waiting: UnsafeRawBufferPointer) -> Finding {
        switch hello.read(waiting) {
        case .incomplete: .incomplete
        case .notTLS: .name(.none, hidesMore: false)
        case .invalid: .name(.hidden, hidesMore: false)
        case .hello(let hello):
            .name(
                hello.serverName.map { .name($0) } ?? .hidden,
                hidesMore: hello.hasEncryptedHello
            )
        }
    }
}
