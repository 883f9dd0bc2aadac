#!/usr/bin/env bash
# fetch.sh DIRECTORY: downloads Debian's cloud kernel and static busybox, and unpacks them into
# DIRECTORY: vmlinuz, busybox, modules.
#
# Nothing is installed, so the machine's own kernel and busybox stay as they are. A complete
# directory is left alone.
set -euo pipefail

[ $# = 1 ] || { echo "usage: fetch.sh DIRECTORY" >&2; exit 2; }
[ ! -e "$1/complete" ] || exit 0
[ "$(dpkg --print-architecture)" = amd64 ] || { echo "fetch.sh: there are guests for amd64 only" >&2; exit 1; }

download() {
    local kernel
    kernel=$(apt-cache depends --important linux-image-cloud-amd64 2>/dev/null |
        awk '/Depends: linux-image-/ { print $2; exit }')
    # As root, apt warns that its own user cannot write here.
    [ -n "$kernel" ] && apt-get -qq -o APT::Sandbox::User=root download "$kernel" busybox-static
}

mkdir -p "$1"
cd "$1"
rm -rf tree root ./*.deb
# The package lists may be absent, or older than the archive's contents.
download 2>/dev/null || { apt-get -qq update && download; }
for package in *.deb; do dpkg -x "$package" tree; done
rm ./*.deb

mv tree/boot/vmlinuz-* vmlinuz
mv tree/bin/busybox busybox 2>/dev/null || mv tree/usr/bin/busybox busybox
modules=$(find tree -path '*/lib/modules/*' -prune -type d)
release=${modules##*/}
mkdir -p root/lib/modules
mv "$modules" root/lib/modules/
depmod -b root "$release"
rm -rf tree
touch complete
