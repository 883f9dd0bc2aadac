/// How a test tries an example of README or the manual.
struct DocumentedTrial: Sendable {
    enum Manner: Sendable {
        /// Runs every command as shown. A last command that never exits runs in the background.
        case run
        /// Checks only that rdnet accepts the options, for this reason.
        case options(String)
        /// Runs nothing, for this reason.
        case none(String)
    }

    /// The start of the example's first command.
    let start: String
    /// The page, if several show this command.
    var page: String?
    var manner = Manner.run
    /// A script that prepares the example's world.
    var before = ""
    /// A script that succeeds if the example did what the page says.
    var after = ""

    static let all = readme + host + policies + guest + others

    private static let readme: [DocumentedTrial] = [
        .init(start: "make run", manner: .none(".ci/run runs both")),
        .init(
            start: ".build/rdnet up -- getent ahosts host.docker.internal",
            after: "test -s /tmp/rdnet.pcap; has 192.168.127.254 cat output; has tap cat output"
        ),
        .init(
            start: "rdnet up --port-forward 127.0.0.1:8080",
            after: "for port in 8080 8081; do await curl -sf -o page http://127.0.0.1:$port/; done"
        ),
        .init(
            start: "rdnet host-switch --link unix:///run/net.sock --api",
            after: "has 192.168.127.2:80 curl -s --unix-socket /run/api.sock "
                + "http:/unix/services/forwarder/all"
        ),
        .init(
            start: "ip netns add guest && mkdir",
            before: "start rdnet host-switch --link unix:///run/net.sock",
            after: guestHasAddress
        ),
        .init(start: "rdnet gvproxy -listen unix:///tmp/network.sock -listen-qemu"),
        .init(
            start: "export RDNET_API=unix:///run/api.sock",
            page: "README.md",
            before: namedGuest + sshServer,
            after: "has 127.0.0.1:8083 rdnet ctl forwards; has 'logged in' cat output"
        ),
        .init(
            start: "cp .build/rdnet",
            before: "export ROOTFS=/tmp/root; mkdir -p $ROOTFS/usr/local/bin",
            after: "test -x /tmp/root/usr/local/bin/host-switch"
        ),
    ]

    private static let host: [DocumentedTrial] = [
        .init(
            start: "rdnet host-switch --link unix:///run/user/1000/net.sock",
            before: "mkdir -p /run/user/1000",
            after: "await port 8080"
        ),
        .init(start: "rdnet host-switch --link qemu+unix:///tmp/qemu.sock"),
        .init(start: "rdnet host-switch --link vhost+unix:///tmp/vhost.sock"),
        .init(start: "rdnet host-switch --link bess+unix:///tmp/uml.sock"),
        .init(
            start: "rdnet host-switch -port-forward",
            manner: .options("it needs a VM with a vsock device")
        ),
        .init(
            start: "rdnet host-switch --vm firecracker",
            manner: .options("it needs a Firecracker VM")
        ),
        .init(
            start: "rdnet host-switch --link unix:///tmp/net.sock --api",
            after: "test \"$(cat output)\" = '[]'"
        ),
        .init(start: "gvproxy -listen unix:///tmp/network.sock -listen-qemu"),
        .init(
            start: "curl --unix-socket /tmp/network.sock",
            before: "start gvproxy -listen unix:///tmp/network.sock",
            after: "await port 6443"
        ),
        .init(
            start: "gvproxy -listen-qemu unix:///tmp/qemu.sock -forward-sock",
            manner: .options("it needs a VM with podman")
        ),
    ]

    private static let policies: [DocumentedTrial] = [
        .init(start: "rdnet up --policy offline", after: "has 192.168.127.1 cat output"),
        .init(
            start: "rdnet up --allow 'tcp host:8080'",
            page: "README.md",
            before: webServer,
            after: "has welcome cat output"
        ),
        .init(
            start: "rdnet up --allow 'tcp host:8080'",
            page: "rdnet-policy.5",
            before: webServer,
            after: "has welcome cat output; has '\"verdict\":\"allow\"' cat /tmp/audit.json"
        ),
    ]

    private static let guest: [DocumentedTrial] = [
        .init(
            start: "ip netns add guest",
            page: "rdnet-vm-switch.8",
            before: """
                mkdir -p /run/user/1000
                start rdnet host-switch --link unix:///run/user/1000/net.sock
                """,
            after: guestHasAddress
        ),
        .init(
            start: "vm-switch -tap-interface eth0",
            manner: .options("network-setup passes it a connection as descriptor 3")
        ),
        .init(start: "gvforwarder -url vsock", manner: .options("it needs a VM")),
        .init(start: "gvforwarder -preexisting", manner: .options("it needs a VM")),
        .init(start: "ln -s $(which rdnet) /tmp/host-switch", after: guestHasAddress),
        .init(
            start: "network-setup --logfile /var/log/network-setup.log",
            manner: .options("it needs Rancher Desktop's VM")
        ),
        .init(
            start: "nsenter -n -p -m -t",
            manner: .none("RancherDistro enters the namespace in this way in many tests")
        ),
        .init(
            start: "network-setup --vm-switch-path",
            before: """
                printf '#!/bin/sh\\nexec sleep 1000\\n' >/usr/local/bin/wsl-init
                chmod +x /usr/local/bin/wsl-init
                """
        ),
        .init(start: "wsl-proxy -debug=false", before: "mkdir -p /mnt/c/logs"),
        .init(
            start: "rdnet wsl-proxy --upstreamAddress 10.0.0.2",
            before: "start rdnet wsl-proxy --socketFile /tmp/other --logfile ''",
            after: "await port 8080"
        ),
    ]

    private static let others: [DocumentedTrial] = [
        .init(
            start: "cat /etc/docker/daemon.json",
            manner: .none("DockerTests runs dockerd with this setting")
        ),
        .init(
            start: "rdnet host-switch --link unix:///run/net.sock --port-fs",
            after: "await test -S /run/net.sock"
        ),
        .init(
            start: "ln -s /usr/local/bin/rdnet /usr/local/bin/slirp4netns",
            manner: .none("RootlessContainerTests start it by this name")
        ),
        .init(
            start: "rdnet slirp4netns -c",
            manner: .options("there is no process 4711; Slirp4netnsTests do this")
        ),
        .init(
            start: "ln -s /usr/local/bin/rdnet /usr/local/bin/pasta",
            manner: .none("PastaTests start it by this name")
        ),
        .init(
            start: "ln -s /usr/local/bin/rdnet /usr/local/bin/vpnkit",
            manner: .none("VPNKitRoleTests start it by this name")
        ),
        .init(
            start: "rootlesskit --net=vpnkit",
            manner: .none("Debian's RootlessKit is built without this network")
        ),
        .init(start: "rdnet vpnkit --ethernet", after: "await test -S /tmp/vpnkit.sock"),
        .init(start: "rdnet pasta --config-net", after: "has 169.254.2.1/16 cat output"),
        .init(
            start: "rdnet pasta -t",
            before: "echo served >page",
            after: "await curl -sf -o copy http://127.0.0.1:8080/page"
        ),
        .init(
            start: "rdnet pasta --netns blue",
            before: "ip netns add blue",
            after: "has 169.254.2.1/16 ip -n blue address"
        ),
        .init(
            start: "mount -t 9p",
            manner: .none("MountedPortsTests do this in a guest with a kernel of its own")
        ),
        .init(start: "rdnet port-proxy -i", after: "await port 8080"),
        .init(
            start: "rdnet port-forwarder -data-listen unix:///tmp/vm.sock",
            before: "echo served >page; python3 -m http.server 8000 >log 2>&1 & await port 8000",
            after: "await port 8080; has served curl -s http://127.0.0.1:8080/page"
        ),
        .init(
            start: "rdnet port-forwarder -data-listen 62373",
            manner: .options("it needs vsock")
        ),
        .init(start: "rdnet up </dev/null"),
        .init(start: "rdnet up -- getent ahosts", after: "has 192.168.127.254 cat output"),
        .init(
            start: "rdnet up -- curl -s http://192.168.127.254:8000/",
            before: "echo served >page; python3 -m http.server 8000 >log 2>&1 & await port 8000",
            after: "has page cat output"
        ),
        .init(
            start: "rdnet up --capture /tmp/traffic.pcap",
            before: """
                printf '#!/bin/sh\\nexec python3 -m http.server 80\\n' >server; chmod +x server
                """,
            after: "await curl -sf -o page http://127.0.0.1:8080/; await test -s /tmp/traffic.pcap"
        ),
        .init(
            start: "rdnet up --port-forward 3000=localhost:3000",
            before: """
                printf '#!/bin/sh\\nexec python3 -m http.server --bind 127.0.0.1 3000\\n' >server
                chmod +x server
                """,
            after: "await curl -sf -o page http://127.0.0.1:3000/"
        ),
        .init(
            start: "export RDNET_API=unix:///run/api.sock",
            page: "rdnet-ctl.8",
            before: namedGuest
        ),
        .init(start: "rdnet ctl flows --json", before: namedGuest),
        .init(start: "rdnet ctl events", manner: .none("it never exits; see LiveViewTests")),
        .init(start: "rdnet ctl capture -", manner: .none("it never exits; see LiveViewTests")),
        .init(start: "rdnet --install-extcap", manner: .none("LiveViewTests runs all of it")),
        .init(
            start: "ssh -o ProxyCommand",
            before: namedGuest + sshServer,
            after: "has 'logged in' cat output"
        ),
        .init(
            start: "RDNET_MTU=9000 rdnet host-switch",
            after: "has 'mtu = 9000' cat output; has RDNET_MTU cat output"
        ),
        .init(
            start: "rdnet --install -s /usr/local/bin",
            after: "test -L /usr/local/bin/host-switch"
        ),
        .init(
            start: "rdnet host-switch --subnet 10.1.0.0/16 --print-config",
            after: "rdnet host-switch --config rdnet.conf --print-config >printed"
        ),
        .init(start: "make bench", manner: .none("it takes 20 minutes")),
        .init(start: "RUNS=3", manner: .none("it measures, which a busy machine makes useless")),
        .init(start: "make bench ARGS=", manner: .none("ChartTests draws a chart")),
    ]

    private static let guestHasAddress = """
        await has 192.168.127.2 ip netns exec guest ip -4 address
        ip netns exec guest ping -q -c 1 -W 30 192.168.127.1
        """

    /// A guest with the default address, and `RDNET_API`.
    private static let namedGuest = """
        ip netns add vm; mkdir -p /etc/netns/vm; touch /etc/netns/vm/resolv.conf
        start rdnet host-switch --link unix:///run/net.sock --api unix:///run/api.sock
        start ip netns exec vm rdnet vm-switch --link unix:///run/net.sock --logfile ''
        await has 192.168.127.2 ip netns exec vm ip -4 address
        export RDNET_API=unix:///run/api.sock

        """

    /// An SSH server in the guest, and a client that needs no answers.
    private static let webServer = """
        mkdir -p /tmp/www; echo welcome >/tmp/www/index.html
        start busybox httpd -f -p 127.0.0.1:8080 -h /tmp/www
        await port 8080

        """

    private static let sshServer = """
        mkdir -p /run/sshd ~/.ssh; ssh-keygen -q -t ed25519 -N '' -f ~/.ssh/id_ed25519
        cp ~/.ssh/id_ed25519.pub ~/.ssh/authorized_keys; chmod -R go= ~ ~/.ssh
        ssh-keygen -q -t ed25519 -N '' -f host_key; sed -i 's/^root:[^:]*/root:*/' /etc/shadow
        printf '%s\\n' 'StrictHostKeyChecking no' 'LogLevel ERROR' 'RequestTTY no' >~/.ssh/config
        start ip netns exec vm /usr/sbin/sshd -D -h $PWD/host_key -o UsePAM=no -o StrictModes=no \
        -o AuthorizedKeysFile=$HOME/.ssh/authorized_keys -o 'ForceCommand=echo logged in'
        await has SSH ip netns exec vm timeout 5 nc -w 1 192.168.127.2 22

        """
}
