internal import CLinux
internal import Glibc

/// What this process uses of the machine, with the names that Prometheus' clients share.
///
/// How it works: the memory is in a file of /proc that stays open from the start, because a sandbox
/// does not allow opening it later. Descriptors are counted by asking poll(2) about all of them.
final class ProcessUse {
    /// Limit on the descriptors that are counted; the kernel gives out the lowest free number.
    private static let maximumCounted = 1 << 16

    /// Nil without /proc.
    private let memory: OwnedDescriptor?

    init() {
        let number = open("/proc/self/statm", O_RDONLY | O_CLOEXEC)
        memory = number >= 0 ? OwnedDescriptor(adopting: number) : nil
    }

    /// The numbers in Prometheus' text format.
    var metrics: String {
        var text = ""
        func add(_ name: String, _ kind: String, _ help: String, _ value: String) {
            text += "# HELP process_\(name) \(help)\n# TYPE process_\(name) \(kind)\n"
            text += "process_\(name) \(value)\n"
        }
        add("cpu_seconds_total", "counter", "User and system CPU time in seconds.", seconds)
        add("open_fds", "gauge", "Number of open file descriptors.", "\(openDescriptors)")
        add("max_fds", "gauge", "Limit on open descriptors.", "\(ProcessLimits.descriptors)")
        if let pages = residentPages {
            let octets = pages * UInt64(max(sysconf(Int32(_SC_PAGESIZE)), 0))
            add("resident_memory_bytes", "gauge", "Resident memory in bytes.", "\(octets)")
        }
        return text
    }

    /// See getrusage(2).
    private var seconds: String {
        var use = rusage()
        // Cannot fail: the pointer is valid.
        getrusage(RUSAGE_SELF.rawValue, &use)
        let microseconds =
            (use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1_000_000
            + Int(use.ru_utime.tv_usec) + Int(use.ru_stime.tv_usec)
        let fraction = String(1_000_000 + microseconds % 1_000_000).dropFirst()
        return "\(microseconds / 1_000_000).\(fraction)"
    }

    /// See poll(2), POLLNVAL.
    private var openDescriptors: Int {
        let count = min(ProcessLimits.descriptors, Self.maximumCounted)
        var requests = (0..<Int32(count)).map { pollfd(fd: $0, events: 0, revents: 0) }
        guard poll(&requests, nfds_t(count), 0) >= 0 else { return 0 }
        return requests.count { Int32($0.revents) & POLLNVAL == 0 }
    }

    /// See proc_pid_statm(5).
    private var residentPages: UInt64? {
        switch memory {
        case .some(let memory):
            var octets = [UInt8](repeating: 0, count: 128)
            let count = pread(memory.number, &octets, octets.count, 0)
            let fields = octets.prefix(max(count, 0)).split(separator: UInt8(ascii: " "))
            return fields.count > 1 ? UInt64(String(decoding: fields[1], as: UTF8.self)) : nil
        case .none: return nil
        }
    }
}
