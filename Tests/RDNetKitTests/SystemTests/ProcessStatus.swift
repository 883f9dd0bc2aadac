import Foundation
import Testing

/// What the kernel says about a process's privileges.
///
/// See proc(5), /proc/PID/status and /proc/PID/task/TID/children.
enum ProcessStatus {
    /// Returns a field of /proc/PID/status.
    static func field(_ name: String, of process: Int32) throws -> String {
        let text = try String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)
        let line = try #require(text.split(separator: "\n").first { $0.hasPrefix(name + ":") })
        return line.dropFirst(name.count + 1).trimmingCharacters(in: .whitespaces)
    }

    /// Waits until a process has a system call filter.
    static func isInSandbox(_ process: Int32) throws -> Bool {
        try comesTrue { try field("Seccomp", of: process) == "2" }
    }

    /// Expects a process to have exactly these capabilities, and no way to others.
    static func expect(_ capabilities: Set<Int>, of process: Int32) throws {
        let mask = capabilities.reduce(UInt64(0)) { $0 | 1 << UInt64($1) }
        let text = String(mask, radix: 16)
        let padded = String(repeating: "0", count: 16 - text.count) + text
        for set in ["CapEff", "CapPrm", "CapBnd"] {
            #expect(try field(set, of: process) == padded, "\(set)")
        }
        for set in ["CapInh", "CapAmb"] {
            #expect(try field(set, of: process) == "0000000000000000")
        }
        #expect(try field("NoNewPrivs", of: process) == "1")
    }

    static func children(of process: Int32) throws -> [Int32] {
        try String(
            contentsOfFile: "/proc/\(process)/task/\(process)/children",
            encoding: .utf8
        ).split(separator: " ").compactMap { Int32($0) }
    }
}
