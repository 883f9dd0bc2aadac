# Cost against scale: what grows, and what should not.
# shellcheck shell=bash disable=SC2154 # what bench.sh has

# The total size of a transfer in bytes, for any number of flows.
readonly scale_octets=1000000000

measure_scale() {
    local count
    for count in $held; do
        may_hold "$count" || continue
        hold "$count" put_held "$count" || put "failed_held_$count" 1
    done
    for count in $flows; do
        put_bulk "$count" up
        put_bulk "$count" down
    done
    # The memory that remains after all connections are closed.
    put_resident afterwards
}

# The clock runs from the last connection's handshake until the last byte was received and verified.
put_bulk() {
    local lines
    lines=$(repeat_load "bulk-$2" "$target" 9 "$1" "$scale_octets")
    put "bulk_$2_$1" "$(jq -r '.mbit / 1000' <<<"$lines" | median)"
}

put_held() {
    put_resident "held_$1"
    put_medians "rr_$1" "$(repeat_load rr "$target" 7 "$duration")" p50_us
    put_medians "crr16_$1" "$(repeat_load crr "$target" 7 "$duration" 16)" rate
}
