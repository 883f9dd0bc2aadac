/// The processes that keep a TAP interface alive, because each has a descriptor of it open.
///
/// See proc(5): /proc/PID/fd and /proc/PID/fdinfo, where the kernel reports the interface of a TUN
/// descriptor (`iff`).
enum TAPHolder {
    /// Whether a process holds an interface.
    ///
    /// - Parameters:
    ///   - process: The process ID.
    ///   - interface: The interface's name.
    /// - Returns: False also when the process has ended, or this process may not inspect it.
    static func holds(_ process: Int32, interface: String) -> Bool {
        let folder = "/proc/\(process)/fdinfo"
        let mark = Array("iff:\t\(interface)".utf8)
        var isHolder = false
        Directory.forEachName(in: folder) { name in
            isHolder = Int32(name) != nil && describes("\(folder)/\(name)", mark)
            return !isHolder
        }
        return isHolder
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
    /// Whether the text contains a whole line.
    fileprivate func containsLine(_ line: [UInt8]) -> Bool {
        split(separator: UInt8(ascii: "\n")).contains { $0.elementsEqual(line) }
    }
}
