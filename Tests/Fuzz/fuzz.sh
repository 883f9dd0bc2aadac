#!/usr/bin/env bash
# Feeds random bytes to every parser of external data: SECONDS=60 fuzz.sh [libFuzzer's options]
set -euo pipefail
# bash increments SECONDS, starting from the environment's value.
duration=$SECONDS
((duration > 0)) || duration=60
cd "$(dirname "$0")/../.."
corpus=.build/fuzz/corpus
mkdir -p "$corpus"
swiftc -O -parse-as-library -sanitize=fuzzer -swift-version 6 -module-name WireFuzz \
    Sources/RDNetKit/Wire/*.swift Tests/Fuzz/WireFuzz.swift -o .build/fuzz/wire
# The backtracer would keep a crashed process running for minutes.
SWIFT_BACKTRACE=enable=no .build/fuzz/wire -max_total_time="$duration" -max_len=2048 -timeout=5 \
    -rss_limit_mb=1024 -artifact_prefix=.build/fuzz/ -print_final_stats=1 "$@" "$corpus" \
    >.build/fuzz/log 2>&1 || { tail -n 40 .build/fuzz/log >&2; exit 1; }
grep -E '^stat::number_of_executed_units|^stat::average_exec' .build/fuzz/log
