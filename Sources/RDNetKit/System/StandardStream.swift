internal import CLinux
internal import Glibc

/// One of the two streams that every program may write to.
enum StandardStream {
    case output
    case error

    /// The conventional descriptor number.
    var descriptor: Int32 {
        switch self {
        case .output: STDOUT_FILENO
        case .error: STDERR_FILENO
        }
    }

    /// Whether a person may be reading.
    ///
    /// See isatty(3).
    var isTerminal: Bool { isatty(descriptor) == 1 }

    /// Whether text may have colors: for a terminal that has them, unless NO_COLOR is set.
    ///
    /// See https://no-color.org.
    var isColored: Bool { isTerminal && ProcessEnvironment.allowsColor }

    /// Writes a whole text, waiting for the reader if necessary; a broken stream loses the rest.
    ///
    /// For the output of a command, never for the data plane. See write(2).
    func print(_ text: String) {
        _ = write(Array(text.utf8))
    }

    /// Writes bytes, waiting for the reader if necessary.
    ///
    /// - Returns: False if the stream is broken.
    func write(_ octets: [UInt8]) -> Bool {
        var rest = octets[...]
        while !rest.isEmpty {
            // Sound: the pointer is used only during the call.
            let written = rest.withUnsafeBytes {
                Glibc.write(descriptor, $0.baseAddress, $0.count)
            }
            if written > 0 {
                rest = rest.dropFirst(written)
            } else if errno == EAGAIN {
                var request = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                guard poll(&request, 1, -1) == 1 else { return false }
            } else if errno != EINTR {
                return false
            }
        }
        return true
    }

    /// Replaces the descriptors from 0 to 2 with /dev/null.
    ///
    /// See dup2(2).
    static func discardAll() {
        let number = open("/dev/null", O_RDWR | O_CLOEXEC)
        guard number >= 0 else { return }
        for stream in STDIN_FILENO...STDERR_FILENO { dup2(number, stream) }
        if number > STDERR_FILENO { _ = close(number) }
    }

    /// Opens /dev/null for each descriptor from 0 to 2 that the program was started without.
    ///
    /// Otherwise the next opened descriptor would become a standard stream. See open(2).
    static func openMissing() {
        // open(2) returns the lowest free number, so it fills the gaps from below. The first number
        // above the three is closed again.
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
