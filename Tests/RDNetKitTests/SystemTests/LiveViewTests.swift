import Foundation
import Glibc
import Testing

@testable import RDNetKit

/// What people see of a network as it happens: events, `ctl top`, live captures, Wireshark.
@Suite(
    "live views of a network",
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct LiveViewTests {
    private let directory = TemporaryDirectory()
    private let host: NetworkNamespace

    init() throws {
        host = try NetworkNamespace()
        try host.run("ip", "link", "set", "lo", "up")
        // The gateway itself answers pings to the host alias.
        try host.run("ip", "address", "add", "10.99.0.1/32", "dev", "lo")
        chmod(directory.path, 0o700)
    }

    /// Runs a script in the host's namespace with `$R`, `$D` and the API's address.
    private func run(_ script: String) throws -> String {
        let output = URL(fileURLWithPath: directory.file("output"))
        let program = try RunningProgram(
            [
                "timeout", "100", "env", "R=\(BuiltProgram.rdnet)", "D=\(directory.path)",
                "XDG_RUNTIME_DIR=\(directory.path)", "HOME=\(directory.path)", "TERM=xterm",
                "bash", "-c", "trap 'kill $(jobs -p) 2>/dev/null' EXIT\n" + script,
            ],
            in: host,
            output: output
        )
        try program.closeInput()
        #expect(comesTrue { !program.isRunning })
        return try String(contentsOf: output, encoding: .utf8)
    }

    @Test func `events name what a command in the network did, until the network ends`() throws {
        let output = try run(
            """
            $R up -- sh -c 'cat >/dev/null; nc -z -w 5 192.168.127.254 9; ping -c 1 -W 5 \
            10.99.0.1' < <(until [ -s $D/events ]; do
                $R ctl unexpose 127.0.0.1:8099 2>/dev/null
                $R ctl expose 127.0.0.1:8099 192.168.127.2:80; sleep 0.1; done) >/dev/null 2>&1 &
            until $R ctl flows >/dev/null 2>&1; do sleep 0.1; done
            $R ctl events > $D/events 2>/dev/null
            cat $D/events
            """
        )
        #expect(output.contains(#""type":"forward","event":"opened","local":"127.0.0.1:8099""#))
        #expect(output.contains(#""type":"flow","event":"began","protocol":"tcp""#))
        #expect(output.contains(#""event":"failed""#) && output.contains(#""reason":"refused""#))
        #expect(output.contains(#""event":"began","protocol":"icmp","guest":"192.168.127.2""#))
    }

    @Test func `top shows the network on a terminal, and leaves the terminal as it was`() throws {
        let output = try run(
            """
            $R up -- sleep 100 >/dev/null 2>&1 &
            until $R ctl flows >/dev/null 2>&1; do sleep 0.1; done
            $R ctl top; echo "status $?"
            (until grep -q 'link 0' $D/typescript; do sleep 0.1; done; printf q) 2>/dev/null |
            script -qfec 'stty -g; $R ctl top; echo "status $?"; stty -g' \
            $D/typescript >/dev/null
            cat -v $D/typescript
            """
        )
        #expect(output.contains("top: the standard input and output must be a terminal; expected"))
        #expect(output.contains("status 2\n") && output.contains("status 0"))
        #expect(output.contains("^[[?1049h") && output.contains("^[[?1049l"))
        #expect(output.contains("link 0 tap"))
        let modes = output.split(separator: "\n").filter { $0.split(separator: ":").count > 20 }
        #expect(modes.count == 2 && modes.first == modes.last)
    }

    @Test func `Wireshark lists the network, and reads names and why a packet was dropped`() throws
    {
        let output = try run(
            """
            $R --install-extcap
            mkdir -m 700 -p $D/rdnet-api
            $R up --deny 'udp host:9' --allow any --api unix://$D/rdnet-api/x.sock -- sh -c 'until [ -e $D/go ]; do sleep 0.1; done
                while sleep 0.2; do echo x | nc -u -w 1 192.168.127.254 9; done' >/dev/null 2>&1 &
            until $R ctl flows >/dev/null 2>&1; do sleep 0.1; done
            name=$(tshark -D 2>/dev/null | grep -o 'rdnet-x' | head -1); echo "name $name"
            touch $D/go
            timeout 60 tshark -i $name -f 'udp and port 9' -a packets:2 -w $D/c.pcapng 2>&1
            tshark -r $D/c.pcapng -T fields -e frame.comment -e frame.interface_name
            $D/.config/wireshark/extcap/rdnet-extcap --extcap-interface $name \
            --extcap-capture-filter 'tcp or udp'
            $R ctl capture - --count 1 | tshark -r - -T fields -e frame.number
            """
        )
        #expect(output.contains("/.config/wireshark/extcap/rdnet-extcap\n"))
        #expect(output.contains("name rdnet-x"))
        #expect(output.contains("dropped by rdnet: policy"), "\(output)")
        #expect(output.contains("\"or\" is not valid; expected conditions"))
        #expect(output.hasSuffix("1\n"))
    }

    @Test func `details of a connection name its process, where up looks for processes`() throws {
        let output = try run(
            """
            nc -l 127.0.0.1 7 >/dev/null &
            until ss -Hltn | grep -q :7; do sleep 0.1; done
            $R up --deny 'icmp any' --allow any --api unix://$D/api -- \
            nc 192.168.127.254 7 </dev/zero >/dev/null 2>&1 &
            for try in $(seq 300); do
                curl -s --unix-socket $D/api 'http://x/flows?details=true' > $D/flows
                grep -o '"process":"nc ([0-9]*)"' $D/flows && break
                sleep 0.1
            done
            """
        )
        #expect(output.hasPrefix(#""process":"nc ("#), "\(output)")
    }

    @Test func `--metrics serves the counters and nothing else`() throws {
        let output = try run(
            """
            $R host-switch --link unix://$D/link --metrics tcp://127.0.0.1:9100 >/dev/null 2>&1 &
            until curl -sf http://127.0.0.1:9100/metrics >$D/metrics; do sleep 0.1; done
            grep -E '^(process_[a-z_]+|rdnet_api_connections) [0-9.]+$' $D/metrics | cut -d' ' -f1
            curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:9100/flows
            """
        )
        let names = ["cpu_seconds_total", "open_fds", "max_fds", "resident_memory_bytes"]
        for name in names { #expect(output.contains("process_\(name)\n")) }
        #expect(output.hasSuffix("404"))
    }
}
