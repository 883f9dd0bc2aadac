#!/usr/bin/env bash
# web-image.sh TREE ARCHIVE: makes a container's file system in TREE, with busybox and the web page
# /www/index.html, and packs it into ARCHIVE.
set -euo pipefail
tree=$1 archive=$2

mkdir -p "$tree/bin" "$tree/www"
cp "$(command -v busybox)" "$tree/bin/busybox"
for library in $(ldd "$tree/bin/busybox" | grep -o '/[^ ]*' || true); do
    mkdir -p "$tree${library%/*}"
    cp -L "$library" "$tree$library"
done
ln -s busybox "$tree/bin/sh"
echo "hello from the container" >"$tree/www/index.html"
tar -C "$tree" -cf "$archive" .
