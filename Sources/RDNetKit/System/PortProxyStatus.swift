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
        var status = stat()
        guard fstat(number, &status) == 0, status.st_mode & S_IFMT == S_IFIFO else { return }
        do throws(SystemError) {
            try OwnedDescriptor.inheritedFile(number).report(text)
        } catch {
            // dockerd does not wait for an answer, so this is not one of its pipes.
        }
    }
}
