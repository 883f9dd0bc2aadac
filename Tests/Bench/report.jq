# Prints the rows of bench.sh as tables: a line per figure, a column per stack; then the bars and
# whether they are reached.

def digits($n): if type == "number" then . * pow(10; $n) | round / pow(10; $n) | tostring else "-" end;
def left($width): . + " " * ([$width - length, 0] | max);
def right($width): " " * ([$width - length, 0] | max) + .;

# Formats rows of cells as lines; the first row has the headings.
def table:
    . as $cells
    | [range(0; $cells[0] | length) as $i | [$cells[][$i] | length] | max] as $widths
    | $cells[] | [range(0; length) as $i | .[$i] | if $i == 0 then left($widths[$i]) else right($widths[$i]) end]
    | join("  ");

# The figures, each with its title, key and number of digits.
def figures:
    ["TCP up, 1 stream, Gbit/s", "up_1", 2], ["TCP up, 8 streams, Gbit/s", "up_8", 2],
    ["TCP down, 1 stream, Gbit/s", "down_1", 2], ["TCP down, 8 streams, Gbit/s", "down_8", 2],
    ["CPU seconds a GB up", "up_cpu", 2], ["CPU seconds a GB down", "down_cpu", 2],
    ["one octet there and back, p50, us", "rr_p50_us", 0], ["p99, us", "rr_p99_us", 0],
    ["connect, octet, close, p50, us", "crr_p50_us", 0], ["one after another, per s", "crr_rate", 0],
    ["16 at once, per s", "crr16_rate", 0],
    ["UDP up without loss, Gbit/s", "lossless_up_1", 2], ["32 a call, Gbit/s", "lossless_up_32", 2],
    ["UDP down without loss, Gbit/s", "lossless_down_1", 2], ["32 a call, Gbit/s", "lossless_down_32", 2],
    ["UDP up unpaced, received, Gbit/s", "udp_up", 2], ["lost, %", "udp_up_loss", 1],
    ["UDP down unpaced, received, Gbit/s", "udp_down", 2], ["lost, %", "udp_down_loss", 1],
    ["memory idle, largest process, MB", "rss_idle", 1], ["all its processes, MB", "rss_idle_all", 1],
    (("0", "1000", "4000", "10000", "50000")
        | ["memory with \(.) connections, MB", "rss_held_\(.)", 1], ["all its processes, MB", "rss_held_\(.)_all", 1]),
    ["--help, ms", "help_p50_us", 3], ["ready (host end, command), ms", "ready_p50_us", 3],
    ["guest end has its address, ms", "ready_guest_p50_us", 3];

def scale_figures:
    (("1", "10", "100", "1000", "10000") | ["\(.) flows up, Gbit/s", "bulk_up_\(.)", 2],
        ["\(.) flows down, Gbit/s", "bulk_down_\(.)", 2]),
    (("0", "1000", "4000", "10000", "50000") | ["\(.) held: octet there and back, p50, us", "rr_\(.)_p50_us", 0],
        ["\(.) held: connections of 16 at once, per s", "crr16_\(.)_rate", 0]),
    ["afterwards: memory, largest process, MB", "rss_afterwards", 1];

# Times are stored in microseconds and shown in the unit of the title.
def shown($line): if ($line[0] | endswith(", ms")) and type == "number" then . / 1000 else . end;

def stacks_table($rows; $mtu; figures):
    ($rows | map(select(.mtu == $mtu))) as $columns
    | [["MTU \($mtu)"] + ($columns | map(.stack)),
       (figures as $line | select(any($columns[]; has($line[1])))
        | [$line[0]] + ($columns | map(.[$line[1]] | shown($line) | digits($line[2]))))]
    | table;

# --- The bars

def figure($rows; $stack; $mtu; $key): first($rows[] | select(.stack == $stack and .mtu == $mtu) | .[$key]) // null;

# One line: title, value, bar, and whether the bar is reached. Absolute throughput bars are scaled
# to this machine.
def bar($what; $value; $relation; $limit; $n):
    select($value != null and $limit != null)
    | [$what, ($value | digits($n)), "\($relation) \($limit | digits($n))",
       (if ($relation == ">=" and $value >= $limit) or ($relation == "<=" and $value <= $limit) then "yes" else "NO" end)];

def times($factor): if . == null then null else . * $factor end;

def bars($rows):
    def at($stack; $mtu; $key): figure($rows; $stack; $mtu; $key);
    # The absolute bars were set on a machine whose veth pair carries 24 Gbit/s.
    ((at("veth"; 1500; "up_1") // 24) / 24) as $machine
    | (("up", "down") as $way
        | (bar("switch TCP \($way), MTU 1500"; at("switch"; 1500; "\($way)_1"); ">="; 10 * $machine; 2),
           bar("up TCP \($way), MTU 1500"; at("up"; 1500; "\($way)_1"); ">="; 14 * $machine; 2),
           bar("up TCP \($way), MTU 1500: 8 x pasta \($way)"; at("up"; 1500; "\($way)_1"); ">=";
               at("pasta"; 1500; "\($way)_1") | times(8); 2),
           bar("classic TCP \($way), MTU 1500: 2 x slirp4netns \($way)"; at("classic"; 1500; "\($way)_1"); ">=";
               at("slirp4netns"; 1500; "\($way)_1") | times(2); 2))),
      bar("switch TCP up, MTU 1500: 8 x slirp4netns up"; at("switch"; 1500; "up_1"); ">=";
          at("slirp4netns"; 1500; "up_1") | times(8); 2),
      (("up", "down") as $way | ("1", "8") as $streams
        | (bar("switch TCP \($way), MTU 65520, \($streams)"; at("switch"; 65520; "\($way)_\($streams)"); ">="; 13 * $machine; 2),
           bar("up TCP \($way), MTU 65520, \($streams)"; at("up"; 65520; "\($way)_\($streams)"); ">="; 20 * $machine; 2),
           bar("up TCP \($way), MTU 65520, \($streams): pasta's best"; at("up"; 65520; "\($way)_\($streams)"); ">=";
               [at("pasta"; 65520; "up_1", "up_8", "down_1", "down_8") // empty] | max; 2))),
      (("up", "down") as $way
        | (bar("switch CPU s a GB \($way), MTU 1500"; at("switch"; 1500; "\($way)_cpu"); "<="; 0.9; 2),
           bar("up CPU s a GB \($way), MTU 1500"; at("up"; 1500; "\($way)_cpu"); "<="; 0.5; 2))),
      bar("switch octet there and back, p50 us"; at("switch"; 1500; "rr_p50_us"); "<="; 75; 0),
      bar("up octet there and back, p50 us: pasta's"; at("up"; 1500; "rr_p50_us"); "<="; at("pasta"; 1500; "rr_p50_us"); 0),
      bar("switch connections, 16 at once, per s"; at("switch"; 1500; "crr16_rate"); ">="; 12000; 0),
      bar("up connections, 16 at once, per s: 1.2 x pasta"; at("up"; 1500; "crr16_rate"); ">=";
          at("pasta"; 1500; "crr16_rate") | times(1.2); 0),
      (("up_1", "up_32", "down_1", "down_32") as $way | "lossless_\($way)" as $key
        | ($way | sub("_"; ", ")) as $name
        | (bar("switch UDP \($name) a call, without loss: 3 x slirp4netns"; at("switch"; 1500; $key); ">=";
               at("slirp4netns"; 1500; $key) | times(3); 2),
           bar("up UDP \($name) a call, without loss: 3 x pasta"; at("up"; 1500; $key); ">=";
               at("pasta"; 1500; $key) | times(3); 2))),
      (("switch", "up") as $stack | (["idle", 8], ["held_4000", 20], ["held_50000", 120]) as [$when, $limit]
        | bar("\($stack) memory \($when | sub("_"; " ")), MB each"; at($stack; 1500; "rss_\($when)"); "<="; $limit; 1)),
      bar("--help, ms"; at("up"; 1500; "help_p50_us") | times(0.001); "<="; 5; 2),
      (("switch", "up") as $stack | bar("\($stack) ready, ms"; at($stack; 1500; "ready_p50_us") | times(0.001); "<="; 20; 2)),
      bar("vm-switch has its address, ms"; at("switch"; 1500; "ready_guest_p50_us") | times(0.001); "<="; 20; 2);

[inputs] as $rows
| ([$rows[].mtu] | unique[] as $mtu | "", stacks_table($rows; $mtu; figures, scale_figures)),
  ($rows[] | select(.missing) | "\(.stack), MTU \(.mtu): \(.missing)"),
  ($rows[] | to_entries[] as {$key, $value} | select($key | startswith("failed_"))
    | "\(.stack): the connections of \($key[7:]) were not all alive afterwards"),
  ($rows[] | to_entries[] as {$key, $value} | select($key | startswith("unheld_"))
    | "\(.stack): \($key[7:]) connections were not tried: a process may have \($value) descriptors here"),
  ([bars($rows)] | if length > 0 then "", ([["reached", "is", "bar", ""]] + . | table) else empty end)
