# Cost against scale: what grows, and what should not.
# shellcheck shell=bash disable=SC2154 # what bench.sh has

# Octets of a transfer in all, whatever the number of flows.
readonly scale_octets=1000000000

measure_scale() {
    local count
    for count in $held; do
        [[ $stack = slirp4netns && $count -gt 10000 ]] && continue
        hold "$count" put_held "$count" || put "failed_held_$count" 1
    done
    for count in $flows; do
        put_bulk "$count" up
        put_bulk "$count" down
    done
    # What stays when all of them are gone.
    put_resident afterwards
}

# The clock runs from when all connections stand until the last octet has come and been compared.
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
