# The measurements of bench.sh: each measure_NAME adds fields to the row of the running stack.
# shellcheck shell=bash disable=SC2154 # what bench.sh has

fields=()
put() { fields+=("$1" "${2:-null}"); }

median() { sort -n | awk '{ value[NR] = $1 } END { if (NR) print value[int((NR + 1) / 2)] }'; }

# Prints the stack's CPU seconds so far.
cpu_seconds() {
    local pid
    for pid in "${pids[@]}"; do cat "/proc/$pid/stat"; done 2>/dev/null |
        awk -v hertz="$(getconf CLK_TCK)" '{ sub(/.*\) /, ""); ticks += $12 + $13 } END { print ticks / hertz }'
}

# Records resident memory in megabytes: the largest process, and all of them.
put_resident() {
    local pid
    ((${#pids[@]} > 0)) || return
    # shellcheck disable=SC2046 # two words
    set -- "$1" $(for pid in "${pids[@]}"; do cat "/proc/$pid/status"; done 2>/dev/null |
        awk '/^VmRSS:/ { all += $2; if ($2 > most) most = $2 }
            END { printf "%.1f %.1f\n", most * 1.024e-3, all * 1.024e-3 }')
    put "rss_$1" "$2"
    put "rss_$1_all" "$3"
}

# Prints the load program's output, one line per run.
repeat_load() {
    local run
    for ((run = 0; run < runs; run++)); do
        in_guest timeout $((duration + 60)) "$load" "$@" 2>/dev/null
    done
}

# put_medians PREFIX LINES KEY ...
put_medians() {
    local prefix=$1 lines=$2 key
    shift 2
    for key in "$@"; do put "${prefix}_$key" "$(jq -r ".$key" <<<"$lines" | median)"; done
}

measure_rr() { put_medians rr "$(repeat_load rr "$target" 7 "$duration")" p50_us p99_us rate; }

measure_crr() {
    put_medians crr "$(repeat_load crr "$target" 7 "$duration")" p50_us p99_us rate
    put_medians crr16 "$(repeat_load crr "$target" 7 "$duration" 16)" rate
}

# iperf3 with one stream and with eight: received payload, and the stack's CPU seconds per gigabyte.
measure_tcp() {
    local direction streams lines
    for direction in up down; do
        for streams in 1 8; do
            lines=$(throughput "$direction" "$streams")
            put "${direction}_$streams" "$(awk 'NF { print $1 }' <<<"$lines" | median)"
            if ((streams == 1 && ${#pids[@]} > 0)); then
                put "${direction}_cpu" "$(awk 'NF { print $2 }' <<<"$lines" | median)"
            fi
        done
    done
}

throughput() {
    local run before options=(-c "$target" -p 5201 -t "$duration" -P "$2" -J)
    [ "$1" = down ] && options+=(-R)
    for ((run = 0; run < runs; run++)); do
        before=$(cpu_seconds)
        in_guest timeout $((duration + 15)) iperf3 "${options[@]}" >"$directory/iperf3" 2>/dev/null
        jq -r --argjson before "$before" --argjson after "$(cpu_seconds)" '
            .end.sum_received | select(.bytes > 0)
            | "\(.bits_per_second / 1e9) \(($after - $before) / (.bytes / 1e9))"' "$directory/iperf3"
    done 2>/dev/null
}

# Datagrams of 1400 bytes: unpaced, and at the highest rate without loss (searched by rdnet-load).
measure_udp() {
    local direction lines at_once
    for direction in up down; do
        lines=$(repeat_load "udp-$direction" "$target" 7 "$duration")
        put "udp_$direction" "$(jq -r '.mbit / 1000' <<<"$lines" | median)"
        put "udp_${direction}_loss" \
            "$(jq -r 'select(.sent > 0) | .lost * 100 / .sent' <<<"$lines" | median)"
        # One datagram per call, and 32 (UDP_SEGMENT), like programs that send many.
        for at_once in 1 32; do
            lines=$(repeat_load "udp-lossless-$direction" "$target" 7 0.2 1400 "$at_once")
            put "lossless_${direction}_$at_once" "$(jq -r '.mbit / 1000' <<<"$lines" | median)"
        done
    done
}

# hold COUNT COMMAND ...: runs the command while the guest holds COUNT connections open; fails if
# any of them is dead afterwards.
hold() {
    local count=$1 answer=
    shift
    if ((count == 0)); then "$@"; return; fi
    coproc HOLD { in_guest timeout 120 "$load" hold "$target" 7 "$count" 2>/dev/null; }
    local process=$HOLD_PID input=${HOLD[0]} output=${HOLD[1]}
    if read -r -t 90 -u "$input" answer && [[ $answer == *held* ]]; then
        "$@"
        echo >&"$output"
        answer=
        read -r -t 60 -u "$input" answer
    fi 2>/dev/null
    wait "$process" 2>/dev/null
    [[ $answer == *alive* ]]
}

# Whether this many connections are possible: each takes a descriptor in the guest, the stack and
# the server.
may_hold() {
    # slirp4netns takes 250 KB each: 50,000 would exceed the memory of typical machines.
    [[ $stack = slirp4netns && $1 -gt 10000 ]] && return 1
    (($1 + 100 <= $(ulimit -n))) && return
    put "unheld_$1" "$(ulimit -n)"
    return 1
}

measure_memory() {
    local count
    # The yardsticks have no process, and a console cannot hold connections open during a command.
    { ((${#pids[@]} > 0)) && [ -z "$machine" ]; } || return
    for count in $held; do
        may_hold "$count" || continue
        hold "$count" put_resident "held_$count" || put "failed_held_$count" 1
    done
}

# Time from a program's start until it is usable; independent of the running stack.
measure_start() {
    case $stack in
    up)
        put_medians help "$("$load" ready exit 50 "$rdnet" --help)" p50_us
        put_medians ready "$(ip netns exec "$host" "$load" ready output 11 \
            "$rdnet" up --logfile "$directory/ready.log" -- /bin/echo ready)" p50_us
        ;;
    switch)
        put_medians ready "$(ip netns exec "$host" "$load" ready "unix:$directory/ready" 11 \
            "$rdnet" host-switch --link "unix://$directory/ready" --logfile "$directory/ready.log")" p50_us
        # The host end already runs: measures a second guest until it has its address.
        make_namespace "$guest-2"
        put_medians ready_guest "$(ip netns exec "$guest-2" "$load" ready address:192.168.127.3 11 \
            "$rdnet" vm-switch --link "unix://$directory/link" --tap-mac-address 02:00:00:00:00:03 \
            --resolv-conf "" --logfile "$directory/ready.log")" p50_us
        ip netns delete "$guest-2"
        ;;
    esac
}
