internal import CLinux
internal import Glibc

/// The users and groups of the machine, from /etc/passwd and /etc/group.
///
/// A static program cannot use the C library's lookup, which loads modules. Users of a directory
/// service are therefore known by number only. See passwd(5), group(5).
enum AccountFile {
    /// A user's numbers.
    struct User: Equatable {
        var user: UInt32
        var group: UInt32
    }

    /// Returns the number of a group, by name or number.
    ///
    /// - Throws: `SystemError` if the file cannot be read or does not contain the name.
    static func group(_ text: String) throws(SystemError) -> UInt32 {
        if let number = number(text) { return number }
        let path = "/etc/group"
        for fields in try lines(path) where fields.count >= 3 && fields[0] == text {
            if let group = number(fields[2]) { return group }
        }
        throw SystemError(call: "group \(text) in \(path)", errno: ENOENT)
    }

    /// Returns the numbers of a user, by name, number, or `USER:GROUP` of either kind.
    ///
    /// - Throws: `SystemError` if the files cannot be read or do not contain the name. A number
    ///   that no line contains has the group of the same number.
    static func user(_ text: String) throws(SystemError) -> User {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        let name = String(parts[0])
        var found = number(name).map { User(user: $0, group: $0) }
        let path = "/etc/passwd"
        for fields in try lines(path) where fields.count >= 4 {
            guard fields[0] == name || fields[2] == name, let user = number(fields[2]),
                let group = number(fields[3])
            else { continue }
            found = User(user: user, group: group)
            break
        }
        guard var found else { throw SystemError(call: "user \(name) in \(path)", errno: ENOENT) }
        if parts.count == 2 { found.group = try group(String(parts[1])) }
        return found
    }

    private static func number(_ text: String) -> UInt32? {
        // The largest number means "no change" to chown(2) and setresuid(2).
        guard text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let number = UInt32(text),
            number < UInt32.max
        else { return nil }
        return number
    }

    private static func lines(_ path: String) throws(SystemError) -> [[String]] {
        let octets: [UInt8]
        do throws(SystemError) {
            octets = try TextFile.read(path) ?? []
        } catch {
            guard TextFile.isAbsence(error) else { throw error }
            return []
        }
        return octets.split(separator: 0x0a).map { line in
            line.split(separator: 0x3a, omittingEmptySubsequences: false)
                .map { String(decoding: $0, as: UTF8.self) }
        }
    }
}
