#!/usr/bin/env bash
# Compares user-space network stacks, and checks the results against the bars.
#
#   bench.sh [--json FILE] [STACK ...]
#       stacks: loopback veth up switch classic qemu slirp4netns pasta
#   RUNS=5 SECONDS=1 MTUS="1500 65520"      runs, duration, MTUs; a second MTU only measures TCP
#                                           throughput
#   PHASES="start memory rr crr udp tcp"    what to measure; RUNS=3 MTUS=1500 PHASES="rr crr"
#                                           up switch pasta takes half a minute
#   HELD="4000 50000"                       connections held open for the memory figures
#   SCALE=1                                 cost against scale instead (default: up, switch):
#       HELD="0 1000 4000 10000 50000"      connections held open
#       FLOWS="1 10 100 1000 10000"         flows that share a gigabyte
#
# loopback and veth are the machine itself, for comparison. classic is gvproxy with a guest end that
# knows no offloads, qemu is gvproxy with an emulated machine. Needs root. The script creates two
# namespaces: "host" runs the servers and the stack, "guest" the clients. No traffic leaves them.
set -uo pipefail
# bash increments SECONDS, starting from the environment's value.
duration=$SECONDS
((duration > 0)) || duration=1
runs=${RUNS:-5} mtus=${MTUS:-1500 65520} held=${HELD:-4000 50000}
phases=${PHASES:-start memory rr crr udp tcp}
rdnet=$(realpath "${RDNET_BINARY:-.build/rdnet}") load=$(realpath "${RDNET_LOAD:-.build/rdnet-load}")
json=
[ "${1-}" = --json ] && { json=${2:?--json needs a file}; shift 2; }
folder=$(dirname "$0")
if [ -n "${SCALE-}" ]; then
    stacks=${*:-up switch} mtus=${MTUS:-1500} phases=scale
    held=${HELD:-0 1000 4000 10000 50000} flows=${FLOWS:-1 10 100 1000 10000}
else
    stacks=${*:-loopback veth up switch classic qemu slirp4netns pasta}
fi

usage() { echo "bench: $*" >&2; exit 2; }
[ "$(id -u)" = 0 ] || { echo "bench: needs root to make namespaces" >&2; exit 1; }
for word in $stacks; do
    [[ $word =~ ^(loopback|veth|up|switch|classic|qemu|slirp4netns|pasta)$ ]] || usage "\"$word\" is no stack"
done
for word in $phases; do
    [[ $word =~ ^(start|memory|rr|crr|udp|tcp|scale)$ ]] || usage "PHASES: \"$word\" is none of them"
done
for program in "$rdnet" "$load"; do
    [ -x "$program" ] || { echo "bench: $program is not there; make bench builds it" >&2; exit 1; }
done

readonly host=rdnet-bench-$$-host guest=rdnet-bench-$$-guest
directory=$(mktemp -d) || exit 1
rows=$directory/rows
pids=() servers=() entered=() console=() target='' missing='' stack='' machine=''
# For 50,000 connections; without permission, raises the limit to the hard limit.
ulimit -n 131072 2>/dev/null || ulimit -n "$(ulimit -Hn)"

# shellcheck source=Tests/Bench/stacks.sh
. "$folder/stacks.sh"
# shellcheck source=Tests/Bench/measures.sh
. "$folder/measures.sh"
# shellcheck source=Tests/Bench/scale.sh
. "$folder/scale.sh"

# --- The two namespaces

finish() {
    stop_stack
    ((${#servers[@]} > 0)) && kill "${servers[@]}" 2>/dev/null
    wait 2>/dev/null
    ip netns delete "$host" 2>/dev/null
    rm -rf "$directory"
}
trap finish EXIT
trap 'exit 130' INT TERM

# pasta copies the addresses of the interface with the default route: here a link to nowhere.
make_host() {
    make_namespace "$host" || exit 1
    ip -n "$host" link add outside type veth peer name nowhere
    ip -n "$host" link set nowhere up
    ip -n "$host" address add 10.99.0.1/24 dev outside
    ip -n "$host" link set outside up
    ip -n "$host" route add default via 10.99.0.254
    local command
    for command in "iperf3 -s -p 5201" "$load echo 7" "$load udp-server 7" "$load bulk-server 9"; do
        # shellcheck disable=SC2086 # splits into words
        ip netns exec "$host" $command </dev/null >/dev/null 2>&1 &
        servers+=($!)
    done
}

in_guest() { "${entered[@]}" "$@"; }

wait_until_ready() {
    local tries
    for ((tries = 0; tries < 50; tries++)); do
        ((${#pids[@]} == 0)) || kill -0 "${pids[@]}" 2>/dev/null || { missing="ended at once"; return 1; }
        in_guest timeout 2 "$load" rr "$target" 7 0.01 >/dev/null 2>&1 && return
        sleep 0.1
    done
    missing="the guest does not reach the host"
    return 1
}

stop_stack() {
    ((${#pids[@]} > 0)) && { kill "${pids[@]}" 2>/dev/null; wait "${pids[@]}" 2>/dev/null; }
    [ -n "$machine" ] && { kill -KILL "$machine" 2>/dev/null; wait "$machine" 2>/dev/null; }
    pids=() machine=''
    rm -f "$directory/inside" "$directory/link"
    ip netns delete "$guest" 2>/dev/null
    ip -n "$host" link delete bench0 2>/dev/null
}

# --- One stack with one MTU, as a line of JSON

measure() {
    local mtu=$1 phase wanted=$phases
    fields=(stack "$stack" mtu "$mtu") missing='' pids=() entered=(ip netns exec "$guest")
    # Everything except TCP throughput is independent of the MTU.
    [ "$mtu" = "${mtus%% *}" ] || { [[ " $phases " == *" tcp "* ]] && wanted=tcp || return; }
    make_namespace "$guest" || exit 1
    echo "bench: $stack, MTU $mtu" >&2
    if "start_$stack" "$mtu" && wait_until_ready; then
        put_resident idle
        for phase in $wanted; do "measure_$phase"; done
    else
        put missing "${missing:-failed}"
    fi
    stop_stack
    jq -cn '[$ARGS.positional | _nwise(2) | {(.[0]): (.[1] | fromjson? // .)}] | add' \
        --args "${fields[@]}" >>"$rows"
}

describe_machine() {
    echo "$(nproc) x $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), Linux $(uname -r)," \
        "TCP congestion control $(sysctl -n net.ipv4.tcp_congestion_control)"
    echo "$("$rdnet" --version); $(slirp4netns --version 2>/dev/null | head -n 1);" \
        "passt $(dpkg-query -Wf '${Version}' passt 2>/dev/null); $(iperf3 --version | head -n 1)"
    echo "Medians of $runs runs of $duration s."
}

make_host
sleep 0.3
for stack in $stacks; do
    for mtu in $mtus; do measure "$mtu"; done
done
describe_machine
jq -rn -f "$folder/report.jq" "$rows"
if [ -n "$json" ]; then
    jq -n --arg machine "$(describe_machine)" '{machine: $machine, rows: [inputs]}' "$rows" >"$json"
fi
