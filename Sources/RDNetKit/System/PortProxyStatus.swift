internal import CLinux
internal import Glibc

/// The answer to dockerd's userland-proxy protocol: descriptor 3 is a pipe that dockerd reads.
enum PortProxyStatus {
    private static let number: Int32 = 3

    /// Reports that the port is open.
    static func succeed() {
        write("0\n")
    }

    /// Reports why the port is not open.
    static func fail(_ reason: String) {
        write("1\n\(reason)")
    }

    /// Writes a report and closes the pipe; without a pipe, it does nothing.
    private static func write(_ text: String) {
        // Descriptors of this program's own are close-on-exec, the pipe is not.
        let flags = fcntl(number, F_GETFD)
        var status = stat()
        guard flags != -1, flags & FD_CLOEXEC == 0, fstat(number, &status) == 0,
            status.st_mode & S_IFMT == S_IFIFO
        else { return }
        // One write of less than PIPE_BUF bytes, which a pipe takes as a whole.
        let octets = Array(text.utf8.prefix(Int(PIPE_BUF)))
        _ = Glibc.write(number, octets, octets.count)
        close(number)
    }
}
