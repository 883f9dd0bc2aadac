#!/usr/bin/env bash
# Compares TCP through wsl-proxy with the same connection without it: client and proxy in one
# namespace, server in another, joined by a veth pair. One stream at a time, up and down, medians.
#
#   wsl-proxy.sh        RUNS=5 SECONDS=2   runs, duration
#
# Needs root. Exits with status 1 if the proxy's median is below 80 % of the direct one.
set -uo pipefail
# bash increments SECONDS, starting from the environment's value.
duration=$SECONDS
((duration > 0)) || duration=2
runs=${RUNS:-5}
rdnet=${RDNET_BINARY:-.build/rdnet}

[ "$(id -u)" = 0 ] || { echo "wsl-proxy.sh: needs root to make namespaces" >&2; exit 1; }
[ -x "$rdnet" ] || { echo "wsl-proxy.sh: $rdnet is not there; make bench-wsl-proxy builds it" >&2; exit 1; }

readonly outer=rdnet-bench-$$-outer inner=rdnet-bench-$$-inner address=192.168.143.1
directory=$(mktemp -d) || exit 1
pids=()

finish() {
    kill "${pids[@]}" 2>/dev/null
    wait 2>/dev/null
    ip netns delete "$outer" 2>/dev/null
    ip netns delete "$inner" 2>/dev/null
    rm -rf "$directory"
}
trap finish EXIT
trap 'exit 130' INT TERM

make_namespaces() {
    ip netns add "$outer" && ip netns add "$inner" &&
        ip -n "$outer" link add outer type veth peer name inner netns "$inner" &&
        ip -n "$outer" address add 192.168.143.2/24 dev outer &&
        ip -n "$inner" address add "$address/24" dev inner &&
        ip -n "$outer" link set lo up && ip -n "$outer" link set outer up &&
        ip -n "$inner" link set lo up && ip -n "$inner" link set inner up
}

start() {
    ip netns exec "$inner" iperf3 -s -p 5201 </dev/null >/dev/null 2>&1 &
    pids+=($!)
    ip netns exec "$outer" "$rdnet" wsl-proxy -socketFile "$directory/socket" \
        -logfile "$directory/log" -upstreamAddress "$address" </dev/null >/dev/null 2>&1 &
    pids+=($!)
    proxy=$!
    local tries
    for ((tries = 0; tries < 100; tries++)); do
        [ -S "$directory/socket" ] && break
        sleep 0.1
    done
    nc -N -U "$directory/socket" <<<'{"ports":{"1/tcp":[{"HostIp":"127.0.0.1","HostPort":"5201"}]}}' || return 1
    for ((tries = 0; tries < 100; tries++)); do
        grep -q published "$directory/log" && ip netns exec "$inner" ss -Htln | grep -q :5201 && return
        sleep 0.1
    done
    return 1
}

median() { sort -n | awk '{ value[NR] = $1 } END { print (value[int((NR + 1) / 2)] + value[int(NR / 2) + 1]) / 2 }'; }

proxy_ticks() { sed 's/.*) //' "/proc/$proxy/stat" | awk '{ print $12 + $13 }'; }

# measure HOST [iperf3's options]: Gbit/s, and the proxy's CPU seconds per GB.
measure() {
    local host=$1 before result
    shift
    before=$(proxy_ticks)
    result=$(ip netns exec "$outer" timeout $((duration + 15)) iperf3 -c "$host" -p 5201 -t "$duration" -J "$@" 2>/dev/null)
    jq -r --argjson ticks "$(($(proxy_ticks) - before))" --argjson hertz "$(getconf CLK_TCK)" \
        '.end.sum_received | "\(.bits_per_second / 1e9) \($ticks / $hertz / (.bytes / 1e9))"' <<<"$result"
}

compare() {
    local name=$1 run direct proxied
    shift
    : >"$directory/direct"
    : >"$directory/proxied"
    for ((run = 0; run < runs; run++)); do
        measure "$address" "$@" >>"$directory/direct"
        measure 127.0.0.1 "$@" >>"$directory/proxied"
    done
    direct=$(awk '{ print $1 }' "$directory/direct" | median)
    proxied=$(awk '{ print $1 }' "$directory/proxied" | median)
    awk -v name="$name" -v direct="$direct" -v proxied="$proxied" \
        -v cost="$(awk '{ print $2 }' "$directory/proxied" | median)" 'BEGIN {
        share = direct > 0 ? 100 * proxied / direct : 0
        printf "%-5s direct %5.1f Gbit/s, proxied %5.1f Gbit/s (%.0f %%), %.2f CPU seconds a GB\n",
            name, direct, proxied, share, cost
        exit share < 80 }'
}

make_namespaces && start || { echo "wsl-proxy.sh: the proxy does not start" >&2; exit 1; }
status=0
compare up || status=1
compare down -R || status=1
printf 'resident memory %s\n' "$(awk '/^VmRSS:/ { print $2, $3 }' "/proc/$proxy/status")"
exit $status
