import Foundation
import Testing

@testable import RDNetKit

@Suite("README and the manual", .enabled(if: canMakeNamespaces, "needs root"))
struct DocumentedCommandsTests {
    /// The trial of an example: the one with the longest matching start.
    private static func trial(of example: DocumentedExample) -> DocumentedTrial? {
        DocumentedTrial.all
            .filter { $0.page == nil || $0.page == example.page }
            .filter { example.commands.first?.hasPrefix($0.start) == true }
            .max {
                ($0.page == nil ? 0 : 1, $0.start.count) < ($1.page == nil ? 0 : 1, $1.start.count)
            }
    }

    @Test("do what they say", arguments: DocumentedExample.all)
    func example(_ example: DocumentedExample) throws {
        let trial = try #require(Self.trial(of: example), "no trial for this example")
        var commands = example.commands.filter { !$0.contains(" ... ") }
        switch trial.manner {
        case .none: return
        case .options: commands = [commands[0] + " --print-config >/dev/null"]
        case .run: break
        }
        let directory = TemporaryDirectory()
        let script =
            Self.library + trial.before + "\n" + commands.map(Self.line).joined()
            + trial.after + "\n" + Self.check
        try Data(script.utf8).write(to: URL(fileURLWithPath: directory.file("script")))
        try run(
            "timeout",
            "--kill-after=5",
            "120",
            "unshare",
            "--mount",
            "--net",
            "--pid",
            "--fork",
            "--mount-proc",
            "--kill-child",
            "env",
            "RDNET=\(BuiltProgram.rdnet)",
            "TREE=\(directory.path)",
            "bash",
            directory.file("script")
        )
        guard !example.output.isEmpty, case .run = trial.manner else { return }
        let output = try String(contentsOfFile: directory.file("work/output"), encoding: .utf8)
        let lines = output.split(separator: "\n").map { String($0) }
        #expect(lines == example.output)
    }

    @Test func `show every trial's example`() {
        for trial in DocumentedTrial.all {
            let isShown = DocumentedExample.all.contains {
                Self.trial(of: $0)?.start == trial.start
            }
            #expect(isShown, "no page shows \(trial.start)")
        }
    }

    /// One command of the script: a server starts in the background and must create its sockets.
    private static func line(_ command: String) -> String {
        guard command.hasSuffix("&") else {
            let neverExits =
                command.hasPrefix("rdnet host-switch") || command.hasPrefix("gvproxy")
                || command.hasPrefix("wsl-proxy") || command.hasPrefix("rdnet up --capture")
                || command.hasPrefix("ip netns exec") || command.hasPrefix("rdnet port-proxy")
                || command.hasPrefix("rdnet pasta -t") || command.hasPrefix("rdnet vpnkit")
            return neverExits && !command.contains("--print-config")
                ? line(command + " &") : command + " >>output\n"
        }
        let sockets = command.replacingOccurrences(of: "--socketFile ", with: "unix://")
            .components(separatedBy: "unix://").dropFirst()
            .map { $0.prefix { !$0.isWhitespace } }
            .filter { !command.contains("vm-switch --l") && !$0.hasPrefix("/tmp/data") }
        return
            "\(command.dropLast()) 2>>servers & \(sockets.map { "await test -S \($0); " }.joined())\n"
    }

    /// No guest end of an example writes the machine's own file.
    private static let check = "test ! -s /etc/resolv.conf\n"

    /// A private machine: /tmp, /run, /etc, /mnt, home and the names of all roles.
    private static let library = """
        set -eu -o pipefail
        trap 'echo "failed at: $BASH_COMMAND" >&2; cat servers >&2 2>/dev/null || true' ERR
        mkdir "$TREE/work" "$TREE/bin" "$TREE/etc"
        cp -a /etc/. "$TREE/etc"; rm -f "$TREE/etc/resolv.conf"; touch "$TREE/etc/resolv.conf"
        mount --bind "$TREE/etc" /etc
        cp "$RDNET" "$TREE/bin/rdnet"; export LD_LIBRARY_PATH=
        mkdir "$TREE/work/.build"; ln -s /usr/local/bin/rdnet "$TREE/work/.build/rdnet"
        for name in $("$TREE/bin/rdnet" --list); do ln -s rdnet "$TREE/bin/$name"; done
        mount --bind "$TREE/bin" /usr/local/bin
        mount -t tmpfs none /mnt; mount -t tmpfs none /run; mount -t tmpfs none /var/log
        mount -t tmpfs none /root
        export HOME=/root PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
        mount --bind "$TREE/work" /srv; cd /srv
        mkdir "$TREE/tmp"; mount --bind "$TREE/tmp" /tmp
        ip link set lo up
        # Runs a command until it succeeds.
        await() {
            local tries
            for ((tries = 0; tries < 600; tries++)); do "$@" >/dev/null 2>&1 && return; sleep 0.1; done
            echo "never true: $*" >&2; return 1
        }
        # Whether a command's output contains a text.
        has() { local text=$1; shift; "$@" | grep -qF -- "$text"; }
        # Whether a TCP port of this machine accepts connections.
        port() { (exec 3<>"/dev/tcp/127.0.0.1/$1"); }
        # Starts a server, and waits for the sockets that it names.
        start() {
            "$@" >>servers 2>&1 &
            local word
            [[ $* == *vm-switch* ]] || for word; do
                case $word in unix://*) await test -S "${word#unix://}" ;; esac
            done
        }

        """
}
