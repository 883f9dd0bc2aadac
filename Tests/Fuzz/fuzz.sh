#!/usr/bin/env bash
# Feeds made-up bytes to everything that reads outside bytes: SECONDS=60 fuzz.sh [TARGET ...]
# Repeats one input, such as that of a failure: fuzz.sh --repeat TARGET FILE
#
# A target is a group of parsers, or the engine as a whole; each runs for that many seconds, two at
# a time because the machines that run this have two processors. The small parsers share a target
# and so its time: libFuzzer prefers whatever still finds new code. A target starts from the inputs
# in corpus/TARGET, continues with what earlier runs have found (.build/fuzz/TARGET), and runs in a
# network namespace of its own, in which every address is local and nobody else can be reached.
#
# A failure prints the input's file and how to repeat it. The address sanitizer is on: the code that
# reads packets uses unsafe pointers.
set -euo pipefail
# bash increments SECONDS, starting from the environment's value.
duration=$SECONDS
((duration > 0)) || duration=60
cd "$(dirname "$0")/../.."
readonly self=Tests/Fuzz/fuzz.sh
readonly targets=(engine packets messages text http names streams multiplexer)
readonly directory=.build/fuzz program=.build/fuzz/rdnet-fuzz
mkdir -p "$directory"

build() {
    local sources
    sources=$(find Sources/RDNetKit -name '*.swift'; ls Tests/Fuzz/*.swift)
    [ -e "$program" ] && [ -z "$(find Sources Tests/Fuzz -newer "$program" -type f ! -path '*/corpus/*')" ] && return
    echo "building the fuzzers (three minutes)"
    # shellcheck disable=SC2086
    swiftc -O -wmo -num-threads 2 -parse-as-library -sanitize=fuzzer,address -swift-version 6 \
        -enable-upcoming-feature MemberImportVisibility -enable-upcoming-feature InternalImportsByDefault \
        -module-name RDNetFuzz -I Sources/CLinux $sources -o "$program" >"$directory/build.log" 2>&1 ||
        { grep -E 'error:' "$directory/build.log" || cat "$directory/build.log"; exit 1; } >&2
}

# Runs in the namespace: TARGET and libFuzzer's arguments.
inside() {
    ip link set lo up
    ip route add local default dev lo
    # The backtracer would keep a crashed process running for minutes.
    RDNET_FUZZ_TARGET=$1 SWIFT_BACKTRACE=enable=no "$program" -timeout=10 -rss_limit_mb=2048 \
        -artifact_prefix="$directory/$1-" "${@:2}"
}

if [ "${1:-}" = --inside ]; then
    inside "${@:2}"
    exit
fi

isolated=(unshare --net)
[ "$(id -u)" = 0 ] || isolated=(unshare --net --user --map-root-user)
build
if [ "${1:-}" = --repeat ]; then
    "${isolated[@]}" "$self" --inside "$2" "$(realpath "$3")"
    exit
fi

# Runs a target and says what came of it.
run() {
    local log=$directory/$1.log
    mkdir -p "$directory/$1"
    if "${isolated[@]}" "$self" --inside "$1" -max_total_time="$duration" -max_len=2048 -print_final_stats=1 \
        "$directory/$1" "Tests/Fuzz/corpus/$1" >"$log" 2>&1; then
        printf '%-11s %9d inputs\n' "$1" "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")"
    else
        { grep -v '^#[0-9]' "$log" | tail -n 45; echo "$1 failed; repeat it with $self --repeat $1 FILE"; } >&2
        return 1
    fi
}

failed=0
(($#)) || set -- "${targets[@]}"
for target in "$@"; do
    while (($(jobs -rp | wc -l) >= 2)); do wait -n || failed=1; done
    run "$target" &
done
while wait -n; status=$?; ((status != 127)); do ((status == 0)) || failed=1; done
exit $failed
