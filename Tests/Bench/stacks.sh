# The stacks that bench.sh measures. Each start_NAME MTU sets
#   pids     its processes, whose memory and CPU time count
#   target   the host's address, as the guest sees it
#   entered  the command prefix that runs something in the guest
# or sets missing and fails.
# shellcheck shell=bash disable=SC2034,SC2154 # what bench.sh has and uses

# Provides enough ports and forgets old connections soon, so that connection rates measure the
# stack, not TIME_WAIT.
tune_namespace() {
    "$@" sysctl -qw net.ipv4.ip_local_port_range="1024 65535" net.ipv4.tcp_max_tw_buckets=1000
}

make_namespace() {
    ip netns add "$1" && ip -n "$1" link set lo up && tune_namespace ip netns exec "$1"
}

# The machine itself, for comparison: the guest is the host.
start_loopback() {
    target=127.0.0.1 entered=(ip netns exec "$host")
}

# What a container has without a user-space stack: a veth pair.
start_veth() {
    target=10.98.0.1
    ip -n "$host" link add bench0 mtu "$1" type veth peer name bench0 mtu "$1" netns "$guest"
    ip -n "$host" address add 10.98.0.1/24 dev bench0
    ip -n "$guest" address add 10.98.0.2/24 dev bench0
    ip -n "$host" link set bench0 up
    ip -n "$guest" link set bench0 up
}

start_up() {
    target=192.168.127.254
    local inside=$directory/inside tries
    ip netns exec "$host" "$rdnet" up --mtu "$1" --logfile "$directory/up.log" -- \
        /bin/sh -c "echo \$\$ >$inside; exec sleep infinity" </dev/null >"$directory/up.out" 2>&1 &
    pids=($!)
    for ((tries = 0; tries < 100; tries++)); do
        [ -s "$inside" ] && break
        kill -0 "${pids[0]}" 2>/dev/null || break
        sleep 0.05
    done
    [ -s "$inside" ] || { missing="not in this binary"; return 1; }
    # The engine, and the process in the namespace that renews the lease.
    pids+=("$(awk '/^PPid:/ { print $2 }' "/proc/$(cat "$inside")/status")")
    entered=(nsenter -t "$(cat "$inside")" -n)
    tune_namespace in_guest
}

# start_host_end SOCKET COMMAND ...: starts our host end and waits until its socket exists.
start_host_end() {
    local socket=$1 tries
    shift
    ip netns exec "$host" "$@" </dev/null >/dev/null 2>&1 &
    pids=($!)
    for ((tries = 0; tries < 100; tries++)); do
        [ -S "$socket" ] && return
        sleep 0.05
    done
    missing="does not start"
    return 1
}

start_switch() {
    target=192.168.127.254
    start_host_end "$directory/link" "$rdnet" host-switch --link "unix://$directory/link" --mtu "$1" \
        --logfile "$directory/host.log" || return
    ip netns exec "$guest" "$rdnet" vm-switch --link "unix://$directory/link" --resolv-conf "" \
        --logfile "$directory/guest.log" </dev/null >/dev/null 2>&1 &
    pids+=($!)
}

# gvproxy with a guest end that negotiates nothing; only the host end is ours and counts.
start_classic() {
    target=192.168.127.254
    (($1 <= 4000)) || { missing="classic guest ends take 4000 at most"; return 1; }
    start_host_end "$directory/link" "$rdnet" gvproxy -listen "unix://$directory/link" -ssh-port -1 -mtu "$1" \
        -log-file "$directory/host.log" || return
    ip netns exec "$guest" "$load" relay "$directory/link" eth0 </dev/null >/dev/null 2>&1 &
    local tries
    for ((tries = 0; tries < 100; tries++)); do
        ip -n "$guest" link show eth0 >/dev/null 2>&1 && break
        sleep 0.05
    done
    ip -n "$guest" link set eth0 address 5a:94:ef:e4:0c:ee mtu "$1" up
    ip -n "$guest" address add 192.168.127.2/24 dev eth0
    ip -n "$guest" route add default via 192.168.127.1
}

# gvproxy with QEMU: the processor is emulated, so the guest's own CPU is the bottleneck.
start_qemu() {
    target=192.168.127.254 entered=(run_in_qemu)
    (($1 <= 4000)) || { missing="measured with the usual MTU only"; return 1; }
    command -v qemu-system-x86_64 >/dev/null || { missing="not installed"; return 1; }
    local kernel=.build/guests files=("-f" "$load:$load" "-f" "$(command -v iperf3):/bin/iperf3") library
    for library in $(ldd "$(command -v iperf3)" | grep -o '/[^ ]*'); do files+=("-f" "$library:$library"); done
    "$folder/../Guests/fetch.sh" "$kernel" &&
        "$folder/../Guests/initrd.sh" -m virtio_pci -m virtio_net "${files[@]}" "$kernel" "$directory/initrd" ||
        { missing="no guest to boot"; return 1; }
    start_host_end "$directory/link" "$rdnet" gvproxy -listen-qemu "unix://$directory/link" -ssh-port -1 -mtu "$1" \
        -log-file "$directory/host.log" || return
    coproc QEMU { exec qemu-system-x86_64 -accel tcg -cpu max -m 256 -nodefaults -no-user-config -no-reboot -display none \
        -serial stdio -kernel "$kernel/vmlinuz" -initrd "$directory/initrd" -append "console=ttyS0 quiet panic=-1" \
        -netdev "stream,id=net,addr.type=unix,addr.path=$directory/link" \
        -device virtio-net-pci,netdev=net,mac=5a:94:ef:e4:0c:ee,romfile= 2>/dev/null; }
    machine=$QEMU_PID console=("${QEMU[@]}")
    read_console 60 >/dev/null && run_in_qemu udhcpc -n -q -t 10 -T 1 -i eth0 -s /etc/udhcpc.sh >/dev/null &&
        return
    missing="the guest does not start"
    return 1
}

# read_console SECONDS: prints the guest's output until a command exits; returns its status.
read_console() {
    local line deadline=$((EPOCHSECONDS + $1))
    while ((EPOCHSECONDS < deadline)) && IFS= read -r -t "$1" -u "${console[0]}" line; do
        line=${line%$'\r'}
        case $line in
        @@ready) return ;;
        @@*) return "${line#@@}" ;;
        *) printf '%s\n' "$line" ;;
        esac
    done
    return 1
}

# Runs a command without special characters on the guest's console.
run_in_qemu() {
    printf '%s\n' "$*" >&"${console[1]}" && read_console 90
}

start_slirp4netns() {
    target=10.0.2.2
    command -v slirp4netns >/dev/null || { missing="not installed"; return 1; }
    ip netns exec "$host" slirp4netns --configure --mtu="$1" --netns-type=path \
        "/run/netns/$guest" tap0 </dev/null >/dev/null 2>&1 &
    pids=($!)
}

start_pasta() {
    # The gateway's address leads to the host.
    target=10.99.0.254
    command -v pasta >/dev/null || { missing="not installed"; return 1; }
    ip netns exec "$host" pasta -f -q --config-net -m "$1" --ns-ifname tap0 --runas 0 --netns-only \
        -4 -t none -u none -T none -U none --netns "/run/netns/$guest" \
        </dev/null >/dev/null 2>&1 &
    pids=($!)
}
