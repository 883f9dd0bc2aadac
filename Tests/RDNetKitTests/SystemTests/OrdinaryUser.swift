import Foundation

/// A user without privileges, who may create TAP devices in network namespaces of their own.
///
/// Debian's udev gives everyone access to `/dev/net/tun`. A machine without udev may keep the
/// kernel's mode, which is for root alone, so programs get a device node of their own.
struct OrdinaryUser {
    static let number = "4001"
    let home: String
    private let device: String

    init(_ directory: TemporaryDirectory) throws {
        home = directory.file("home")
        device = directory.file("tun")
        try FileManager.default.createDirectory(atPath: home, withIntermediateDirectories: false)
        try run(["chown", Self.number, home])
        try run(["chmod", "a+x", directory.path])
        try run(["mknod", device, "c", "10", "200"])
        try run(["chmod", "666", device])
    }

    /// The words that run the command after them as this user.
    var prefix: [String] {
        [
            "unshare", "--mount", "--propagation", "private", "sh", "-c",
            "mount --bind \(device) /dev/net/tun; exec \"$@\"", "sh", "setpriv", "--reuid",
            Self.number, "--regid", Self.number, "--clear-groups",
        ]
    }
}
