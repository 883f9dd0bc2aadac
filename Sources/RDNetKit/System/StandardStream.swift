internal import CLinux
internal import Glibc

/// One of the two streams that every program may write to.
enum StandardStream {
    case output
    case error

    /// The number that the C library and the shell agree on.
    var descriptor: Int32 {
        switch self {
        case .output: STDOUT_FILENO
        case .error: STDERR_FILENO
        }
    }

    /// Writes a text whole, waiting for the reader; what a broken stream does not take is lost.
    ///
    /// For what a command prints, never for the data plane. See write(2).
    func print(_ text: String) {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            // Sound: the pointer is used during the call only.
            let written = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
            if written > 0 {
                rest = rest.dropFirst(written)
            } else if errno == EAGAIN {
                var request = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                guard poll(&request, 1, -1) == 1 else { return }
            } else if errno != EINTR {
                return
            }
        }
    }

    /// Connects descriptors 0 to 2 to /dev/null where the program was started without them.
    ///
    /// Otherwise the next descriptor that is opened would be taken for a standard stream. See
    /// open(2).
    static func openMissing() {
        // open(2) gives the lowest free number, so it fills the gaps from below; the first number
        // above the three is given back.
        while true {
            let number = open("/dev/null", O_RDWR)
            guard number >= 0 else { return }
            if number > STDERR_FILENO {
                _ = close(number)
                return
            }
        }
    }
}
