import CLinux
import Foundation
import Glibc
import Testing

@testable import RDNetKit

/// network-setup with another project's vm-switch, whose children inherit the TAP descriptor.
@Suite(
    "another's vm-switch",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct OtherSwitchTests {
    private let distro: RancherDistro

    init() throws {
        distro = try RancherDistro()
    }

    /// Returns a script that behaves like Rancher Desktop's own program.
    ///
    /// It opens eth0 without close-on-exec, starts a DHCP client that inherits the descriptor, and
    /// exits at the end of the stream. It refuses to start while an eth0 exists.
    private func program(detaching: Bool) -> String {
        """
        #!/usr/bin/perl
        use strict;
        use Fcntl;
        sub note { open(my $file, '>>', '\(distro.directory.path)/starts'); print $file "$_[0]\\n" }
        if (-e '/proc/sys/net/ipv4/conf/eth0') { note('eth0 interface already exist'); exit 1 }
        sysopen(my $tap, '/dev/net/tun', O_RDWR) or die;
        # TUNSETIFF: IFF_TAP and IFF_NO_PI.
        my $request = pack('Z16 S x22', 'eth0', 0x1002);
        ioctl($tap, 0x400454ca, $request) or die;
        fcntl($tap, F_SETFD, 0) or die;
        if (!fork()) {
            \(detaching ? "exec('setsid', 'sleep', '77777')" : "exec('sleep', '77777')");
        }
        # The client has its descriptor once it runs.
        select(undef, undef, undef, 0.01) until `pgrep -fx 'sleep 77777'`;
        note('started');
        open(my $stream, '<&=', 3) or die;
        1 while sysread($stream, my $bytes, 4096);
        exit 1;
        """
    }

    private func start(_ vmSwitch: String) throws -> RunningProgram {
        try distro.start(
            [
                "/usr/local/bin/network-setup", "--logfile",
                distro.directory.file("network-setup.log"),
                "--vm-switch-path", vmSwitch, "--unshare-arg", "/usr/local/bin/wsl-init",
            ],
            output: "output"
        )
    }

    @Test(
        "leaves a child that holds the interface, and is started again however often the stream ends",
        arguments: [false, true]
    )
    func leavesChild(detaching: Bool) throws {
        let script = distro.directory.file("other")
        try AtomicFile.replace(script, with: program(detaching: detaching))
        try run("chmod", "+x", script)
        let networkSetup = try start(script)
        // network-setup gives up after five exits, each within five seconds of a start.
        for round in 1...4 {
            try distro.startHostSwitch()
            let expected = String(repeating: "started\n", count: round)
            #expect(comesTrue { distro.text(of: "starts") == expected }, "\(distro.logs)")
            #expect(try distro.run("pgrep", "-cfx", "sleep 77777").trimmed == "1")
            distro.hostSwitch?.end(with: SIGKILL)
            // No child of it remains to wait for the next stream.
            #expect(comesTrue { !succeeds { try distro.run("pgrep", "-fx", "sleep 77777") } })
            #expect(try !distro.runInside("ip", "link").contains("eth0"))
        }
        #expect(networkSetup.isRunning)
        try distro.run("pkill", "-TERM", "-x", "network-setup")
        try #require(comesTrue { !networkSetup.isRunning })
        #expect(try distro.living() == ["ps"])
    }
}
