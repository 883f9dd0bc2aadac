import CLinux
import Glibc
import Testing

@testable import RDNetKit

@Suite("limit on descriptors")
struct ProcessLimitsTests {
    @Test func `a limit that cannot be raised is reported as it is`() throws {
        // Reads the limits at the start.
        let initial = ProcessLimits.raiseDescriptors()
        try #require(initial > 128)
        let child = try Namespace.fork {
            var lowered = rlimit(rlim_cur: 64, rlim_max: 128)
            guard setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &lowered) == 0 else {
                return 1
            }
            // Root could raise it again.
            if getuid() == 0, setresuid(65_534, 65_534, 65_534) != 0 { return 2 }
            return ProcessLimits.raiseDescriptors() == 64 ? 0 : 3
        }
        var status: Int32 = 0
        try systemCall("waitpid") { waitpid(child, &status, 0) }
        #expect(ProcessEnd(waitStatus: status) == .exited(0))
    }
}
