internal import CLinux
internal import Glibc

/// The processes of a network namespace, as they are being killed.
///
/// One that was killed counts until it has ended altogether. For process 1 of a process namespace
/// that is when all others of that namespace have, whatever network they are in. See pidfd_open(2),
/// pid_namespaces(7).
final class NamespaceResidents {
    /// Descriptors (pidfd) of those that were killed, by number.
    private var ending: [pid_t: Int32] = [:]

    deinit {
        for descriptor in ending.values { close(descriptor) }
    }

    /// Kills the processes of a namespace, but never this process.
    ///
    /// - Parameters:
    ///   - network: The namespace, the same at each call.
    ///   - isMeant: Which processes to kill, by number.
    /// - Returns: How many have not ended yet. Those that fork meanwhile are found by calling
    ///   again.
    func kill(
        in network: borrowing OwnedDescriptor,
        where isMeant: (Int32) -> Bool = { _ in true }
    ) -> Int {
        var namespace = stat()
        guard fstat(network.number, &namespace) == 0, let directory = opendir("/proc") else {
            return ending.count
        }
        defer { closedir(directory) }
        forgetEnded()
        while let entry = readdir(directory) {
            // Sound: the name is an array of chars that ends with NUL, good until the next readdir.
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            guard let process = pid_t(name), process != getpid(), ending[process] == nil else {
                continue
            }
            kill(process, in: namespace, where: isMeant)
        }
        return ending.count
    }

    private func kill(_ process: pid_t, in namespace: stat, where isMeant: (Int32) -> Bool) {
        // Opened first: the number cannot become another process's between question and signal.
        let descriptor = pidfd_open(process, 0)
        guard descriptor >= 0 else { return }
        var home = stat()
        // A process that has ended has no namespace left, though it may wait to be waited for.
        guard stat("/proc/\(process)/ns/net", &home) == 0, home.st_ino == namespace.st_ino,
            home.st_dev == namespace.st_dev, isMeant(process),
            pidfd_send_signal(descriptor, SIGKILL, nil, 0) == 0
        else {
            close(descriptor)
            return
        }
        ending[process] = descriptor
    }

    private func forgetEnded() {
        for (process, descriptor) in ending {
            // Readable when the process has ended, waited for or not.
            var request = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard poll(&request, 1, 0) == 1 else { continue }
            close(descriptor)
            ending[process] = nil
        }
    }
}
