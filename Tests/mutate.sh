#!/usr/bin/env bash
# mutate.sh [-j WORKERS] [-l] [SELECTION]: how many small faults in the packet path the tests notice.
#
# Each line of mutations.txt is a fault: FILE | TEXT | REPLACEMENT. This script puts one after the
# other into a copy of the project, builds it, and runs the tests that need no root: those of Wire,
# Engine, Link and Handshake. A fault is caught when a test fails, the tests crash, or they hang.
# It fails when less than 95 % are caught, or when a line no longer fits its file.
#
# SELECTION: N or N-M, the numbers of faults (-l lists them); any other text: the lines with it.
# Each worker has its own copy, of about 1 GB, in MUTANTS (a new directory in /var/tmp by default).
# The copy is mounted over the project, so that what is built already stays valid.
#
# Survivors are gaps of the tests. One that changes nothing that a guest could notice is replaced by
# another fault; those that are left are explained at the end of mutations.txt.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
list=$root/Tests/mutations.txt
folders=(Wire Engine Link Handshake)
# A build takes 10 to 120 seconds; the tests take 40 on two processors.
build_limit=900 test_limit=240

die() { echo "mutate.sh: $*" >&2; exit 1; }

# The file of a name, which is its own in this tree.
locate() {
	local found; found=$(find Sources/RDNetKit -name "$1")
	[ -n "$found" ] && [ "$(wc -l <<<"$found")" = 1 ] || return 1
	echo "$found"
}

# split LINE: sets file, text, replacement.
split() {
	file=${1%% | *}; local rest=${1#* | }
	text=${rest%% | *}; replacement=${rest#* | }
	[ "$file | $text | $replacement" = "$1" ] && [ "$text" != "$replacement" ]
}

# check LINE: whether it fits its file.
check() {
	split "$1" || die "not FILE | TEXT | REPLACEMENT: $1"
	local path content rest; path=$(locate "$file") || die "no file, or several, named $file"
	content=$(<"$path") rest=${content#*"$text"}
	[ "$rest" != "$content" ] || die "$file does not contain: $text"
	[ "$rest" = "${rest#*"$text"}" ] || die "$file contains more than once: $text"
}

# suites PATH...: the types of the suites in files and folders of the tests, for --filter.
suites() {
	(cd Tests/RDNetKitTests && grep -rhA4 --include='*.swift' '^@Suite' "$@") |
		sed -nE 's/^(private )?(final )?(struct|class) ([A-Za-z0-9]+).*/\4/p' | sort -u | paste -sd'|'
}

# run_suites LOG TYPES: 0 when all pass, 124 when they hang; stops at the first failure.
run_suites() {
	local status=0
	setsid timeout -k 5 "$test_limit" swift test --skip-build --disable-xctest \
		--filter "^RDNetKitTests\.($2)/" --skip "^RDNetKitTests\.(${flaky:-none})/" >"$1" 2>&1 &
	local test=$!
	while kill -0 "$test" 2>/dev/null; do
		if grep -aqs '^✘ Test' "$1"; then
			kill -KILL -- "-$test" 2>/dev/null || true
			status=1
			break
		fi
		sleep 0.2
	done
	wait "$test" 2>/dev/null || status=$((status ? status : $?))
	return "$status"
}

# run_tests LOG: first those of the formats, which take a second. A failure counts if the suite fails
# again alone; else it is one of parallel tests or of a busy machine, and that suite is left out.
run_tests() {
	local flaky='' status types attempt
	for attempt in 1 2 3; do
		status=0
		run_suites "$1" "$(suites "${folders[0]}")" && run_suites "$1" "$(suites "${folders[@]:1}")" ||
			status=$?
		[ "$status" = 1 ] || return "$status"
		types=$(failing_file "$1"); [ -z "$types" ] || types=$(suites "$types")
		status=0; run_suites "$1.again" "${types:-$(suites "${folders[@]}")}" || status=$?
		[ "$status" = 0 ] || return "$status"
		[ -n "$types" ] || return 0
		flaky+=${flaky:+|}$types
	done
	return 1
}

# failing_file LOG: the test's file, from its folder's parent on.
failing_file() {
	local name; name=$(grep -aoE ' at [A-Za-z0-9]+Tests\.swift' "$1" | head -1 | cut -d' ' -f3)
	[ -z "$name" ] || (cd Tests/RDNetKitTests && find . -name "$name")
}

# first_failure LOG: the title of the test that noticed.
first_failure() { grep -am1 '^✘ Test' "$1" | sed -E 's/^✘ Test (case passing.* to )?//; s/ (recorded|failed) .*//' | cut -c1-90; }

# try NUMBER LINE: applies one fault, builds, tests, takes it back; prints one line.
try() {
	local number=$1 line=$2 path content status=0 verdict
	split "$line"; path=$(locate "$file")
	content=$(<"$path")
	printf '%s\n' "${content/"$text"/"$replacement"}" >"$path"
	if ! timeout "$build_limit" swift build --build-tests >"$logs/$number.build" 2>&1; then
		verdict="BROKEN (does not compile: $(grep -am1 -o 'error: .*' "$logs/$number.build"))"
	else
		run_tests "$logs/$number.test" || status=$?
		case $status in
			0) verdict=SURVIVED ;;
			124 | 137) verdict=hung ;;
			*) verdict="caught ($(first_failure "$logs/$number.test" || true))" ;;
		esac
	fi
	printf '%s\n' "$content" >"$path"
	printf '%3d %s: %s → %s: %s\n' "$number" "$file" "$text" "$replacement" "$verdict"
}

# worker DIRECTORY NUMBER...: the part of the work in one copy, which is mounted over the project.
worker() {
	export TMPDIR=$1/tmp logs=$1/logs RDNET_HANG_GUARD=20
	mkdir -p "$TMPDIR" "$logs"
	mount --bind "$1/tree" "$root"
	cd "$root"; shift
	timeout "$build_limit" swift build --build-tests >"$logs/0.build" 2>&1 || die "does not build: $logs/0.build"
	run_tests "$logs/0.test" || die "the tests fail without a fault: $(first_failure "$logs/0.test")"
	local number
	for number in "$@"; do try "$number" "${lines[number - 1]}"; done
}

workers=1 listing=
while getopts j:l option; do
	case $option in
		j) workers=$OPTARG ;;
		l) listing=1 ;;
		*) die "usage: mutate.sh [-j WORKERS] [-l] [SELECTION]" ;;
	esac
done
shift $((OPTIND - 1))

cd "$root"
mapfile -t lines < <(grep -vE '^(#|$)' "$list")
chosen=()
for index in "${!lines[@]}"; do
	check "${lines[index]}"
	number=$((index + 1)) selection=${1-}
	case $selection in
		'') ;;
		*[!0-9-]*) [[ ${lines[index]} == *"$selection"* ]] || continue ;;
		*) [ "$number" -ge "${selection%-*}" ] && [ "$number" -le "${selection#*-}" ] || continue ;;
	esac
	chosen+=("$number")
done
[ ${#chosen[@]} -gt 0 ] || die "no fault matches: ${1-}"
if [ -n "$listing" ]; then
	for number in "${chosen[@]}"; do printf '%3d %s\n' "$number" "${lines[number - 1]}"; done
	exit
fi

if [ -n "${MUTANTS-}" ]; then copies=$MUTANTS; mkdir -p "$copies"
else copies=$(mktemp -d /var/tmp/mutants.XXXXXX); trap 'rm -rf "$copies"' EXIT; fi
for folder in "${folders[@]}"; do
	[ -d "Tests/RDNetKitTests/$folder" ] || die "no folder Tests/RDNetKitTests/$folder"
done
namespace=(unshare --mount --propagation private)
[ "$(id -u)" = 0 ] || namespace+=(--map-root-user)
export -f die locate split check suites run_suites run_tests failing_file first_failure try worker
export root build_limit test_limit
running=()
for ((worker = 0; worker < workers && worker < ${#chosen[@]}; worker++)); do
	copy=$copies/$worker part=()
	for ((index = worker; index < ${#chosen[@]}; index += workers)); do part+=("${chosen[index]}"); done
	rm -rf "$copy"; mkdir -p "$copy"
	cp -a --reflink=auto "$root" "$copy/tree"
	rm -rf "$copy/tree/.git"
	"${namespace[@]}" bash -euo pipefail -c "
		$(declare -p lines folders)
		worker \"\$@\"" worker "$copy" "${part[@]}" > >(tee "$copy/report") &
	running+=($!)
done
failed=
for process in "${running[@]}"; do wait "$process" || failed=1; done
sleep 1
[ -z "$failed" ] || die "a worker has failed"

total=${#chosen[@]}
survivors=$(cat "$copies"/*/report | grep -cE ': (SURVIVED|BROKEN.*)$' || true)
caught=$((total - survivors))
echo "$caught of $total caught ($((100 * caught / total)) %)"
[ $((100 * caught)) -ge $((95 * total)) ]
