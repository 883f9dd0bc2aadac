internal import CLinux
internal import Glibc

/// The processes of a network namespace, while they are being killed.
///
/// A killed process counts until it has ended completely. Process 1 of a PID namespace ends only
/// after all other processes of that namespace, whatever network they are in. See pidfd_open(2),
/// pid_namespaces(7).
final class NamespaceResidents {
    /// The pidfds of killed processes, by process ID.
    private var ending: [pid_t: Int32] = [:]

    deinit {
        for descriptor in ending.values { close(descriptor) }
    }

    /// Kills the processes of a namespace, except this process.
    ///
    /// - Parameters:
    ///   - network: The namespace, the same in each call.
    ///   - isMeant: Whether to kill the process with the given ID.
    /// - Returns: The number of processes that have not ended yet. Another call finds those that
    ///   fork meanwhile.
    func kill(
        in network: borrowing OwnedDescriptor,
        where isMeant: (Int32) -> Bool = { _ in true }
    ) -> Int {
        var namespace = stat()
        guard fstat(network.number, &namespace) == 0 else { return ending.count }
        forgetEnded()
        Directory.forEachName(in: "/proc") { name in
            if let process = pid_t(name), process != getpid(), ending[process] == nil {
                kill(process, in: namespace, where: isMeant)
            }
            return true
        }
        return ending.count
    }

    private func kill(_ process: pid_t, in namespace: stat, where isMeant: (Int32) -> Bool) {
        // Opened first, so that the ID cannot be reused between the check and the signal.
        let descriptor = pidfd_open(process, 0)
        guard descriptor >= 0 else { return }
        var home = stat()
        // A process that has ended has no namespace left, even if it has not been waited for.
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
            // A pidfd is readable when the process has ended, waited for or not.
            var request = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard poll(&request, 1, 0) == 1 else { continue }
            close(descriptor)
            ending[process] = nil
        }
    }
}
