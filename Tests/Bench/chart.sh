#!/usr/bin/env bash
# Draws TCP throughput at MTU 1500 as SVG from the output of "bench.sh --json FILE".
#
#   chart.sh FILE >throughput.svg
set -euo pipefail
[ $# = 1 ] || { echo "Usage: chart.sh FILE" >&2; exit 2; }
jq -r '
    def stacks: ["up", "switch", "classic", "slirp4netns", "pasta", "veth"];
    def title: {up: "rdnet up", switch: "host-switch + vm-switch", classic: "gvproxy\u2019s protocol"}[.] // .;
    # Gray for the peers; only our stacks have color.
    def color: if . == "up" or . == "switch" then ["#2563eb", "#93c5fd"] else ["#6b7280", "#d1d5db"] end;
    [.rows[] | select(.mtu == 1500 and (.up_1 | type) == "number")] as $rows
    | [stacks[] as $stack | $rows[] | select(.stack == $stack)] as $rows
    | if $rows == [] then error("no figures of TCP at MTU 1500") else . end
    | ([$rows[] | .up_1, .down_1] | max) as $largest
    | def width: . * 430 / $largest | . * 10 | round / 10;
      def bar($row; $value; $offset; $fill; $word):
          (20 + $row * 52 + $offset) as $y
          | "<rect x=\"190\" y=\"\($y)\" width=\"\($value | width)\" height=\"18\" fill=\"\($fill)\"/>"
            + "<text x=\"\(196 + ($value | width))\" y=\"\($y + 14)\">\($value * 10 | round / 10) \($word)</text>";
    "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"760\" height=\"\($rows | length * 52 + 40)\" "
        + "font-family=\"sans-serif\" font-size=\"13\">",
    "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>",
    ($rows | to_entries[] | .key as $row | .value
        | "<text x=\"180\" y=\"\(20 + $row * 52 + 24)\" text-anchor=\"end\">\(.stack | title)</text>",
          bar($row; .up_1; 0; (.stack | color[0]); "up"),
          bar($row; .down_1; 20; (.stack | color[1]); "down")),
    "<text x=\"190\" y=\"\($rows | length * 52 + 30)\" fill=\"#6b7280\">Gbit/s, one TCP stream, MTU 1500</text>",
    "</svg>"
' "$1"
