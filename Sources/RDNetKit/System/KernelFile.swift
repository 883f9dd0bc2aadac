internal import Glibc

/// A file of proc(5) that the kernel takes a value from.
enum KernelFile {
    /// Writes a value in one call, as the kernel requires.
    ///
    /// See open(2), write(2).
    static func write(_ text: String, to path: String) throws(SystemError) {
        let file = OwnedDescriptor(
            adopting: try systemCall("open \(path)") { open(path, O_WRONLY | O_CLOEXEC) }
        )
        let octets = Array(text.utf8)
        let number = file.number
        try systemCall("write \(path)") { Glibc.write(number, octets, octets.count) }
    }
}

/// The kernel's own IPv6 configuration of an interface.
enum KernelAutoconfiguration {
    /// Leaves an interface's IPv6 addresses and routes to this program: it may have them, and the
    /// kernel adds none because of router advertisements.
    ///
    /// A kernel without IPv6 has no such files, and in a container they may not be writable. Then
    /// the kernel may add addresses of its own, which work as well.
    ///
    /// - Parameter interface: In this process's network namespace.
    static func disable(on interface: String) {
        for (name, value) in [("accept_ra", "0"), ("autoconf", "0"), ("disable_ipv6", "0")] {
            do throws(SystemError) {
                try KernelFile.write(value, to: "/proc/sys/net/ipv6/conf/\(interface)/\(name)")
            } catch {
                return
            }
        }
    }
}
