#!/usr/bin/env bash
# initrd.sh [-k MODULES] [-m MODULE]... [-f SOURCE:TARGET]... DIRECTORY OUTPUT: creates a guest's file
# system, as an archive.
#
# DIRECTORY is fetch.sh's; MODULES is the directory of the modules of another kernel. The guest has busybox's tools, the named files, and the named kernel
# modules with their dependencies, which init loads. Then init runs the lines from the console: see
# init.sh.
set -euo pipefail

modules=()
files=()
kernel=
while getopts k:m:f: option; do
    case $option in
    k) kernel=$OPTARG ;;
    m) modules+=("$OPTARG") ;;
    f) files+=("$OPTARG") ;;
    *) exit 2 ;;
    esac
done
shift $((OPTIND - 1))
[ $# = 2 ] || { echo "usage: initrd.sh [-k MODULES] [-m MODULE]... [-f SOURCE:TARGET]... DIRECTORY OUTPUT" >&2; exit 2; }
readonly here=${0%/*} directory=$1 output=$2

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root"/{bin,dev,etc,proc,root,run,sys,tmp,modules}
cp "$directory/busybox" "$root/bin/busybox"
cp "$here/init.sh" "$root/init"
cp "$here/udhcpc.sh" "$root/etc/udhcpc.sh"

# modules.dep has a line per module: its file, a colon, its dependencies in reverse loading order.
source=$(echo "${kernel:-$directory/root/lib/modules}"/*)
: >"$root/modules/order"
for module in "${modules[@]}"; do
    line=$(grep -m 1 -E "/${module//[_-]/[_-]}\.ko(\.[a-z]+)?:" "$source/modules.dep") || {
        # It may be built into the kernel.
        grep -q -E "/${module//[_-]/[_-]}\.ko" "$source/modules.builtin" && continue
        echo "initrd.sh: the kernel has no module $module" >&2
        exit 1
    }
    for file in $(tr ' ' '\n' <<<"${line/:/}" | tac); do
        name=$(basename "${file%%.ko*}").ko
        [ -e "$root/modules/$name" ] && continue
        case $file in
        *.xz) xz -dc "$source/$file" ;;
        *.zst) zstd -qdc "$source/$file" ;;
        *) cat "$source/$file" ;;
        esac >"$root/modules/$name"
        echo "$name" >>"$root/modules/order"
    done
done

for file in "${files[@]}"; do
    install -D -m 755 "${file%%:*}" "$root/${file#*:}"
done
(cd "$root" && find . | ./bin/busybox cpio -o -H newc 2>/dev/null) >"$output"
