#!/usr/bin/env bash
# Compares port-proxy with Docker's docker-proxy: client and proxies in one namespace, as dockerd has
# them, the container's servers in another, joined by a veth pair. The two proxies run at the same
# time and take turns, and "direct" is the container without a proxy. Medians.
#
#   port-proxy.sh        RUNS=5 SECONDS=2   runs, duration
#
# Needs root and docker-proxy (Debian: docker.io). Exits with status 1 if port-proxy is slower than
# docker-proxy by more than a tenth, or needs more CPU time for a gigabyte. Both splice, so where one
# stream keeps the machine busy, the throughput of all three is that of the kernel.
set -uo pipefail
# bash increments SECONDS, starting from the environment's value.
duration=$SECONDS
((duration > 0)) || duration=2
runs=${RUNS:-5}
rdnet=$(realpath "${RDNET_BINARY:-.build/rdnet}") load=$(realpath "${RDNET_LOAD:-.build/rdnet-load}")
original=$(command -v docker-proxy || echo /usr/sbin/docker-proxy)

[ "$(id -u)" = 0 ] || { echo "port-proxy.sh: needs root to make namespaces" >&2; exit 1; }
for program in "$rdnet" "$load"; do
    [ -x "$program" ] || { echo "port-proxy.sh: $program is not there; make bench-port-proxy builds it" >&2; exit 1; }
done
[ -x "$original" ] || { echo "port-proxy.sh: skipped, because docker-proxy is not installed"; exit 0; }

readonly outer=rdnet-bench-$$-outer inner=rdnet-bench-$$-inner container=172.18.0.2
directory=$(mktemp -d) || exit 1
pids=()
# Each way to the container: a host, and what is added to the container's port numbers.
declare -A hosts=([direct]=$container [docker]=127.0.0.1 [rdnet]=127.0.0.1)
declare -A offsets=([direct]=0 [docker]=1000 [rdnet]=2000)

finish() {
    kill -INT "${pids[@]}" 2>/dev/null
    sleep 0.2
    kill "${pids[@]}" 2>/dev/null
    wait 2>/dev/null
    ip netns delete "$outer" 2>/dev/null
    ip netns delete "$inner" 2>/dev/null
    rm -rf "$directory"
}
trap finish EXIT
trap 'exit 130' INT TERM

# Without these limits the kernel spends its time on finding a free port among thousands of
# connections in TIME-WAIT, whatever program is measured.
limit_waiting() {
    ip netns exec "$1" sysctl -qw net.ipv4.ip_local_port_range="1024 65535" net.ipv4.tcp_max_tw_buckets=1000
}

make_namespaces() {
    ip netns add "$outer" && ip netns add "$inner" &&
        limit_waiting "$outer" && limit_waiting "$inner" &&
        ip -n "$outer" link add bridge type veth peer name eth0 netns "$inner" &&
        ip -n "$outer" address add 172.18.0.1/16 dev bridge &&
        ip -n "$inner" address add "$container/16" dev eth0 &&
        ip -n "$outer" link set lo up && ip -n "$outer" link set bridge up &&
        ip -n "$inner" link set lo up && ip -n "$inner" link set eth0 up
}

# publish NAME PROTOCOL PORT COMMAND ...: starts one proxy and waits until it says that it serves.
publish() {
    local name=$1 protocol=$2 port=$3 tries
    shift 3
    ip netns exec "$outer" "$@" -proto "$protocol" -host-ip 0.0.0.0 -host-port $((port + offsets[$name])) \
        -container-ip "$container" -container-port "$port" </dev/null 3> >(cat >"$directory/status") >/dev/null 2>&1 &
    pids+=($!)
    for ((tries = 0; tries < 100; tries++)); do
        [ -s "$directory/status" ] && break
        sleep 0.1
    done
    [ "$(cat "$directory/status")" = 0 ] || { echo "port-proxy.sh: $name does not serve: $(cat "$directory/status")" >&2; return 1; }
    rm "$directory/status"
}

start() {
    local command tries
    # A stub would start it in a session of its own, to which the scheduler grants the processor
    # apart from everything else here (sched(7), autogroup).
    ip netns exec "$outer" "$rdnet" port-proxy --serve </dev/null >/dev/null 2>&1 &
    pids+=($!)
    for ((tries = 0; tries < 100; tries++)); do
        ip netns exec "$outer" ss -Hlx | grep -q @rdnet-port-proxy && break
        sleep 0.1
    done
    for command in "iperf3 -s -p 5201" "$load echo 7" "$load udp-echo 9"; do
        # shellcheck disable=SC2086 # splits into words
        ip netns exec "$inner" $command </dev/null >/dev/null 2>&1 &
        pids+=($!)
    done
    local port
    for port in "tcp 5201" "tcp 7" "udp 9"; do
        # shellcheck disable=SC2086 # two words
        publish docker $port "$original" && publish rdnet $port "$rdnet" port-proxy || return 1
    done
}

median() { sort -n | awk '{ value[NR] = $1 } END { if (NR) print (value[int((NR + 1) / 2)] + value[int(NR / 2) + 1]) / 2 }'; }

in_outer() { ip netns exec "$outer" timeout $((duration + 15)) "$@" 2>/dev/null; }

# The clock ticks of the process that carries a way's TCP streams: one for each port, or for all.
carrier_ticks() {
    local pattern process
    case $1 in
        docker) pattern='docker-proxy .*-container-port 5201' ;;
        rdnet) pattern='port-proxy --serve' ;;
        direct) echo 0; return ;;
    esac
    for process in $(ip netns pids "$outer"); do
        tr '\0' ' ' <"/proc/$process/cmdline" | grep -q -- "$pattern" && cat "/proc/$process/stat"
    done 2>/dev/null | sed 's/.*) //' | awk '{ ticks += $12 + $13 } END { print ticks + 0 }'
}

# throughput WAY [iperf3's options]: Gbit/s; adds the CPU seconds for a gigabyte to a file.
throughput() {
    local way=$1 before after result
    shift
    before=$(carrier_ticks "$way")
    result=$(in_outer iperf3 -c "${hosts[$way]}" -p $((5201 + offsets[$way])) -t "$duration" -J "$@")
    after=$(carrier_ticks "$way")
    jq -r --argjson ticks $((after - before)) --argjson hertz "$(getconf CLK_TCK)" \
        '.end.sum_received | $ticks / $hertz / (.bytes / 1e9)' <<<"$result" >>"$directory/cpu.$way"
    jq -r '.end.sum_received.bits_per_second / 1e9' <<<"$result"
}

# round_trip WAY MODE PORT [operands]: the median in microseconds
round_trip() {
    in_outer "$load" "$2" "${hosts[$1]}" $(($3 + offsets[$1])) "$duration" "${@:4}" | jq -r .p50_us
}

# per_second WAY MODE PORT [operands]: round trips
per_second() {
    in_outer "$load" "$2" "${hosts[$1]}" $(($3 + offsets[$1])) "$duration" "${@:4}" | jq -r .rate
}

# show NAME at-least|at-most LIMIT FILE: the medians of FILE.WAY; "-" for no limit.
show() {
    awk -v name="$1" -v sense="$2" -v limit="$3" -v direct="$(median <"$4.direct")" \
        -v docker="$(median <"$4.docker")" -v rdnet="$(median <"$4.rdnet")" 'BEGIN {
        ratio = docker > 0 ? rdnet / docker : 0
        bad = limit == "-" ? 0 : sense == "at-least" ? ratio < limit : ratio > limit || ratio == 0
        format = docker < 10 ? "%-28s %9.2f %12.2f %10.2f" : "%-28s %9.0f %12.0f %10.0f"
        printf format " %8.2f%s\n", name, direct, docker, rdnet, ratio, bad ? "  short of " limit : ""
        exit bad }'
}

# compare NAME at-least|at-most LIMIT MEASURE [operands after the way]
compare() {
    local name=$1 sense=$2 limit=$3 measure=$4 run way
    shift 4
    rm -f "$directory"/values.* "$directory"/cpu.*
    for ((run = 0; run < runs; run++)); do
        for way in direct docker rdnet; do
            "$measure" "$way" "$@" >>"$directory/values.$way"
        done
    done
    show "$name" "$sense" "$limit" "$directory/values" || status=1
    [ "$measure" != throughput ] || show "    CPU s per GB" at-most 1 "$directory/cpu" || status=1
}

make_namespaces && start || exit 1
status=0
printf '%-28s %9s %12s %10s %8s\n' "" direct docker-proxy port-proxy ratio
compare "TCP up, 1 stream, Gbit/s" at-least 0.9 throughput
compare "TCP up, 8 streams, Gbit/s" at-least 0.9 throughput -P 8
compare "TCP down, 1 stream, Gbit/s" at-least 0.9 throughput -R
compare "TCP down, 8 streams, Gbit/s" at-least 0.9 throughput -R -P 8
compare "TCP round trip, p50, us" at-most 1.1 round_trip rr 7
compare "connection, p50, us" at-most 1.1 round_trip crr 7
compare "connections/s, 16 at once" - - per_second crr 7 16
compare "UDP round trip, p50, us" at-most 1.1 round_trip udp-rr 9
exit $status
