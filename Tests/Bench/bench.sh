#!/usr/bin/env bash
# Measures user-space network stacks side by side: rdnet up, host-switch + vm-switch, slirp4netns, pasta.
#
#   bench.sh [--json FILE] [STACK ...]      stacks: up switch slirp4netns pasta
#   RUNS=5 SECONDS=3 MTUS="1500 65520" HELD=4000    how often, how long, with what
#   PHASES="rr crr udp tcp memory"                  what is measured: RUNS=3 SECONDS=1 MTUS=1500 PHASES="rr crr" is done in a minute
#
# Needs root. Two namespaces of its own: "host" has the servers and the stack, "guest" the clients; nothing leaves them.
set -uo pipefail
# bash counts in SECONDS, beginning with what the environment says.
duration=$SECONDS
((duration > 0)) || duration=3
runs=${RUNS:-5} phases=${PHASES:-rr crr udp tcp memory}
mtus=${MTUS:-1500 65520} held=${HELD:-4000}
rdnet=${RDNET_BINARY:-.build/rdnet} load=${RDNET_LOAD:-.build/rdnet-load}
json=
[ "${1-}" = --json ] && { json=${2:?--json needs a file}; shift 2; }
stacks=${*:-up switch slirp4netns pasta}

[ "$(id -u)" = 0 ] || { echo "bench: needs root to make namespaces" >&2; exit 1; }
for phase in $phases; do
    [[ $phase =~ ^(rr|crr|udp|tcp|memory)$ ]] || { echo "bench: PHASES: \"$phase\" is none of them" >&2; exit 2; }
done
for program in "$rdnet" "$load"; do
    [ -x "$program" ] || { echo "bench: $program is not there; make bench builds it" >&2; exit 1; }
done

readonly host=rdnet-bench-$$-host guest=rdnet-bench-$$-guest
directory=$(mktemp -d) || exit 1
rows=$directory/rows
pids=() servers=() entered=()
ulimit -n "$(ulimit -Hn)"

# --- The two namespaces

finish() {
    stop_stack
    kill "${servers[@]}" 2>/dev/null
    wait 2>/dev/null
    ip netns delete "$host" 2>/dev/null
    rm -rf "$directory"
}
trap finish EXIT
trap 'exit 130' INT TERM

# Enough ports, and old connections forgotten soon: connection rates measure the stack, not TIME_WAIT.
make_namespace() {
    ip netns add "$1" && ip -n "$1" link set lo up || exit 1
    ip netns exec "$1" sysctl -qw net.ipv4.ip_local_port_range="1024 65535" \
        net.ipv4.tcp_max_tw_buckets=1000
}

# pasta copies the addresses of the interface with the default route: a cable that leads nowhere.
make_host() {
    make_namespace "$host"
    ip -n "$host" link add outside type veth peer name nowhere
    ip -n "$host" link set nowhere up
    ip -n "$host" address add 10.99.0.1/24 dev outside
    ip -n "$host" link set outside up
    ip -n "$host" route add default via 10.99.0.254
    local command
    for command in "iperf3 -s -p 5201" "$load echo 7" "$load udp-server 7"; do
        # shellcheck disable=SC2086 # words on purpose
        ip netns exec "$host" $command </dev/null >/dev/null 2>&1 &
        servers+=($!)
    done
}

# --- The stacks: each start_X MTU sets pids (its processes), target (the host's address in the guest) and entered (how to enter)

in_guest() { "${entered[@]}" "$@"; }

start_up() {
    target=192.168.127.254
    local script="echo \$\$ >$directory/inside; exec sleep infinity"
    ip netns exec "$host" "$rdnet" up --mtu "$1" --logfile "$directory/up.log" -- \
        /bin/sh -c "$script" </dev/null >"$directory/up.out" 2>&1 &
    pids=($!)
    local tries
    for ((tries = 0; tries < 100; tries++)); do
        [ -s "$directory/inside" ] && break
        kill -0 "${pids[0]}" 2>/dev/null || break
        sleep 0.1
    done
    [ -s "$directory/inside" ] || { missing="not in this binary"; return 1; }
    inside=$(cat "$directory/inside")
    entered=(nsenter -t "$inside" -n)
    in_guest sysctl -qw net.ipv4.ip_local_port_range="1024 65535" net.ipv4.tcp_max_tw_buckets=1000
}

start_switch() {
    target=192.168.127.254
    ip netns exec "$host" "$rdnet" host-switch --link "unix://$directory/link" --mtu "$1" \
        --logfile "$directory/host.log" </dev/null >/dev/null 2>&1 &
    pids=($!)
    ip netns exec "$guest" "$rdnet" vm-switch --link "unix://$directory/link" --resolv-conf "" \
        --logfile "$directory/guest.log" </dev/null >/dev/null 2>&1 &
    pids+=($!)
}

start_slirp4netns() {
    target=10.0.2.2
    command -v slirp4netns >/dev/null || { missing="not installed"; return 1; }
    ip netns exec "$host" slirp4netns --configure --mtu="$1" --netns-type=path \
        "/run/netns/$guest" tap0 </dev/null >/dev/null 2>&1 &
    pids=($!)
}

start_pasta() {
    # The gateway's address stands for the host.
    target=10.99.0.254
    command -v pasta >/dev/null || { missing="not installed"; return 1; }
    ip netns exec "$host" pasta -f -q --config-net -m "$1" --ns-ifname tap0 --runas 0 --netns-only \
        -4 -t none -u none -T none -U none --netns "/run/netns/$guest" \
        </dev/null >/dev/null 2>&1 &
    pids=($!)
}

wait_until_ready() {
    local tries
    for ((tries = 0; tries < 50; tries++)); do
        kill -0 "${pids[@]}" 2>/dev/null || { missing="ended at once"; return 1; }
        in_guest timeout 2 "$load" rr "$target" 7 0.01 >/dev/null 2>&1 && return
        sleep 0.1
    done
    missing="the guest does not reach the host"
    return 1
}

stop_stack() {
    ((${#pids[@]} > 0)) && { kill "${pids[@]}" 2>/dev/null; wait "${pids[@]}" 2>/dev/null; }
    pids=()
    rm -f "$directory/inside" "$directory/link"
    ip netns delete "$guest" 2>/dev/null
}

# --- Measures

median() { sort -n | awk '{ value[NR] = $1 } END { if (NR) print value[int((NR + 1) / 2)] }'; }

# Seconds of CPU that the stack has used.
cpu_seconds() {
    local pid
    for pid in "${pids[@]}"; do cat "/proc/$pid/stat"; done 2>/dev/null |
        awk -v hertz="$(getconf CLK_TCK)" '{ sub(/.*\) /, ""); ticks += $12 + $13 } END { print ticks / hertz }'
}

resident() {
    local pid
    for pid in "${pids[@]}"; do cat "/proc/$pid/status"; done 2>/dev/null |
        awk '/^VmRSS:/ { kilobytes += $2 } END { printf "%.1f\n", kilobytes / 1024 }'
}

# throughput STREAMS [iperf3's options]: "Gbit/s CPU-seconds-a-GB" on each line, one a run.
throughput() {
    local streams=$1 before output
    shift
    for ((run = 0; run < runs; run++)); do
        before=$(cpu_seconds)
        output=$(in_guest timeout $((duration + 15)) iperf3 -c "$target" -p 5201 -t "$duration" \
            -P "$streams" -J "$@" 2>/dev/null)
        jq -r --argjson before "$before" --argjson after "$(cpu_seconds)" '
            .end.sum_received | select(.bytes > 0)
            | "\(.bits_per_second / 1e9) \(($after - $before) / (.bytes / 1e9))"' <<<"$output"
    done 2>/dev/null
}

# The load program's lines, one a run.
repeat_load() {
    for ((run = 0; run < runs; run++)); do
        in_guest timeout $((duration + 15)) "$load" "$@" 2>/dev/null
    done
}

fields=()
put() { fields+=("$1" "${2:--}"); }

measure_tcp() {
    local direction streams lines options
    for direction in up down; do
        options=()
        [ $direction = down ] && options=(-R)
        for streams in 1 8; do
            lines=$(throughput "$streams" "${options[@]}")
            put "${direction}_$streams" "$(awk 'NF { print $1 }' <<<"$lines" | median)"
            ((streams == 1)) &&
                put "${direction}_cpu" "$(awk 'NF { print $2 }' <<<"$lines" | median)"
        done
    done
}

measure_rr() {
    local lines key
    lines=$(repeat_load rr "$target" 7 "$duration")
    for key in p50_us p99_us rate; do
        put "rr_$key" "$(jq -r ".$key" <<<"$lines" | median)"
    done
}

measure_crr() {
    local lines key
    lines=$(repeat_load crr "$target" 7 "$duration")
    for key in p50_us p99_us rate; do
        put "crr_$key" "$(jq -r ".$key" <<<"$lines" | median)"
    done
    put crr16_rate "$(repeat_load crr "$target" 7 "$duration" 16 | jq -r .rate | median)"
}

measure_udp() {
    local direction line
    for direction in up down; do
        line=$(runs=1 repeat_load "udp-$direction" "$target" 7 "$duration")
        put "udp_$direction" "$(jq -r '.mbit / 1000' <<<"$line")"
        put "udp_${direction}_loss" "$(jq -r 'select(.sent > 0) | .lost * 100 / .sent' <<<"$line")"
    done
}

# Memory with connections held, from a process that keeps them until it gets a line.
measure_memory() {
    local answer=
    coproc HOLD { in_guest timeout 60 "$load" hold "$target" 7 "$held" 2>/dev/null; }
    local process=$HOLD_PID
    if read -r -t 50 -u "${HOLD[0]}" answer && [[ $answer == *held* ]]; then
        put rss_held "$(resident)"
        echo >&"${HOLD[1]}"
        read -r -t 20 -u "${HOLD[0]}" answer
    fi 2>/dev/null
    wait "$process" 2>/dev/null
    [[ $answer == *alive* ]] || { put rss_held; put held_failed 1; }
}

measure() {
    local stack=$1 mtu=$2
    fields=(stack "$stack" mtu "$mtu") missing= entered=(ip netns exec "$guest")
    make_namespace "$guest"
    echo "bench: $stack, MTU $mtu" >&2
    if "start_$stack" "$mtu" && wait_until_ready; then
        put rss_idle "$(resident)"
        for phase in $phases; do "measure_$phase"; done
    else
        put missing "${missing:-failed}"
    fi
    stop_stack
    jq -cn '[$ARGS.positional | _nwise(2) | {(.[0]): (.[1] | tonumber? // .)}] | add' \
        --args "${fields[@]}" >>"$rows"
}

# --- The table

describe_machine() {
    echo "$(nproc) x $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), Linux $(uname -r)," \
        "TCP congestion control $(sysctl -n net.ipv4.tcp_congestion_control)"
    echo "$("$rdnet" --version); $(slirp4netns --version 2>/dev/null | head -n 1);" \
        "passt $(dpkg-query -Wf '${Version}' passt 2>/dev/null); $(iperf3 --version | head -n 1)"
    echo "Medians of $runs runs of $duration s; Gbit/s of TCP payload as received, with 1 and 8 streams;" \
        "CPU: seconds of the stack's processes a GB (1 stream);"
    echo "RR: one octet there and back; CRR: connect, RR, close (one after another, 16 at once);" \
        "MB: resident, idle and with $held connections; UDP: 1400 octets, unpaced."
}

print_table() {
    jq -r '
        def digits(n): if type == "number" then . * pow(10; n) | round / pow(10; n) | tostring else "-" end;
        if .missing then [.stack, .mtu, .missing] else
        [.stack, .mtu, (.up_1, .up_8, .down_1, .down_8 | digits(2)), (.up_cpu, .down_cpu | digits(2)),
         (.rr_p50_us, .rr_p99_us | digits(0)), (.crr_p50_us, .crr_p99_us | digits(0)),
         (.crr_rate, .crr16_rate | digits(0)), (.rss_idle, .rss_held | digits(1)),
         (.udp_up | digits(2)) + " (" + (.udp_up_loss | digits(1)) + " %)",
         (.udp_down | digits(2)) + " (" + (.udp_down_loss | digits(1)) + " %)"] end | @tsv' "$rows" |
        awk -F'\t' '
        BEGIN {
            split("stack,MTU,up 1,up 8,down 1,down 8,CPU up,CPU down,RR p50 us,p99,CRR p50 us,p99," \
                "CRR/s,16 at once,MB idle,MB held,UDP up,UDP down", head, ",")
            for (i = 1; i <= 18; i++) { cell[0, i] = head[i]; width[i] = length(head[i]) }
        }
        {
            columns[NR] = NF
            for (i = 1; i <= NF; i++) {
                cell[NR, i] = $i
                if (NF == 18 && length($i) > width[i]) width[i] = length($i)
                if (i == 1 && length($i) > width[1]) width[1] = length($i)
            }
        }
        END {
            columns[0] = 18
            for (row = 0; row <= NR; row++) {
                line = sprintf("%-" width[1] "s", cell[row, 1])
                for (i = 2; i <= columns[row]; i++)
                    line = line sprintf("  %" (columns[row] == 18 || i == 2 ? width[i] : 1) "s", cell[row, i])
                print line
            }
        }'
}

make_host
sleep 0.3
for stack in $stacks; do
    for mtu in $mtus; do measure "$stack" "$mtu"; done
done
describe_machine
echo
print_table
if [ -n "$json" ]; then
    jq -n --arg machine "$(describe_machine)" '{machine: $machine, rows: [inputs]}' "$rows" >"$json"
fi
