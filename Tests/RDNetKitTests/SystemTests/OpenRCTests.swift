import Foundation
import Glibc
import Testing

@testable import RDNetKit

/// The OpenRC services, run as openrc-run(8) runs them; Debian does not have it.
@Suite("OpenRC services", .enabled(if: canMakeNamespaces, "needs root to make namespaces"))
struct OpenRCTests {
    private static let folder = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().appendingPathComponent("../../../.dist/etc/init.d")
        .standardizedFileURL.path

    /// Sources a service in a file system of its own, and becomes its program.
    private static let runner = """
        mount -t tmpfs -o mode=755 none /run && mount -t tmpfs -o mode=755 none /var/log || exit 1
        checkpath() {
            owner=root
            while [ $# -gt 1 ]; do
                case $1 in
                --owner) owner=$2; shift ;;
                --mode) mode=$2; shift ;;
                --directory) kind=-d ;;
                --file) kind=; ;;
                esac
                shift
            done
            if [ "$kind" ]; then install -d "$1"; else touch "$1"; fi
            chown "$owner" "$1" && chmod "$mode" "$1"
        }
        . "$1" && start_pre && exec "$2" host-switch $command_args
        """

    @Test func `host-switch runs without root and without capabilities`() throws {
        let host = try NetworkNamespace()
        let directory = TemporaryDirectory()
        let arguments = "--link unix:///run/rdnet/link --logfile /var/log/host-switch.log"
        let program = try RunningProgram(
            [
                "env", "HOST_SWITCH_ARGS=\(arguments)", "unshare", "-m", "sh", "-c", Self.runner,
                "sh", Self.folder + "/host-switch", BuiltProgram.rdnet,
            ],
            in: host,
            output: URL(fileURLWithPath: directory.file("output"))
        )
        defer { program.end() }
        let log = "/proc/\(program.number)/root/var/log/host-switch.log"
        #expect(
            comesTrue {
                let text = FileManager.default.contents(atPath: log) ?? Data()
                return String(decoding: text, as: UTF8.self).contains("waiting for guests")
            },
            "\(directory.text(of: "output"))"
        )
        #expect(try comesTrue { try ProcessStatus.isInSandbox(program.number) })
        #expect(try ProcessStatus.field("Uid", of: program.number).hasPrefix("65534\t65534"))
        try ProcessStatus.expect([], of: program.number)
        let socket = "/proc/\(program.number)/root/run/rdnet/link"
        #expect(FileManager.default.fileExists(atPath: socket))
    }
}
