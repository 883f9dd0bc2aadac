internal import CLinux
internal import Glibc

/// The processes that keep a TAP interface alive: each that has a descriptor of it open.
///
/// See proc(5): /proc/PID/fd and /proc/PID/fdinfo, where the kernel names the interface of a TUN
/// descriptor (`iff`).
enum TAPHolder {
    /// Whether a process holds an interface.
    ///
    /// - Parameters:
    ///   - process: Its number.
    ///   - interface: The interface's name.
    /// - Returns: False also for a process that has ended, or must not be looked at.
    static func holds(_ process: Int32, interface: String) -> Bool {
        guard let directory = opendir("/proc/\(process)/fdinfo") else { return false }
        defer { closedir(directory) }
        let mark = Array("iff:\t\(interface)".utf8)
        while let entry = readdir(directory) {
            // Sound: the name is an array of chars that ends with NUL, good until the next readdir.
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            guard Int32(name) != nil else { continue }
            if describes("/proc/\(process)/fdinfo/\(name)", mark) { return true }
        }
        return false
    }

    private static func describes(_ path: String, _ mark: [UInt8]) -> Bool {
        do {
            return try TextFile.read(path)?.containsLine(mark) ?? false
        } catch {
            // The descriptor was closed meanwhile.
            return false
        }
    }
}

extension [UInt8] {
    /// Whether one of these lines is another.
    fileprivate func containsLine(_ line: [UInt8]) -> Bool {
        split(separator: UInt8(ascii: "\n")).contains { $0.elementsEqual(line) }
    }
}
