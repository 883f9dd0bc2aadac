#!/usr/bin/env bash
# rootless.sh DIRECTORY PROGRAM SCRIPT: runs a shell script as an ordinary user who may make containers.
#
# Run it in mount and PID namespaces of its own. The user exists only there; DIRECTORY is the home, and has
# PROGRAM under the name slirp4netns, first in PATH, and web.tar, an image with busybox and a web page.
set -euo pipefail
directory=$1 program=$2 script=$3
readonly user=4001

mount -t tmpfs none /mnt
# The sockets of the run-time directory have long names, so its own must be short.
mkdir /mnt/etc /mnt/hugetlb /mnt/run
cp -a /etc/. /mnt/etc/
mount --bind /mnt/etc /etc
echo "tester:x:$user:$user::$directory:/bin/bash" >>/etc/passwd
echo "tester:x:$user:" >>/etc/group
echo "tester:100000:65536" | tee /etc/subuid >/etc/subgid
# Podman knows version 2 of the control groups only, and a controller must be somewhere.
umount -R /sys/fs/cgroup 2>/dev/null || true
mount -t cgroup2 none /sys/fs/cgroup
mount -t cgroup -o hugetlb none /mnt/hugetlb 2>/dev/null || true
# Without udev the device may be root's alone.
mknod -m 666 /mnt/tun c 10 200
mount --bind /mnt/tun /dev/net/tun

cp "$program" "$directory/slirp4netns"
tree=$directory/tree
"${0%/*}/web-image.sh" "$tree" "$directory/web.tar"
chown -R "$user:$user" "$directory" /mnt/run
# A directory above is only its owner's.
chmod a+x "$(dirname "$directory")"

cd "$directory"
exec setpriv --reuid "$user" --regid "$user" --init-groups \
    env HOME="$directory" XDG_RUNTIME_DIR=/mnt/run PATH="$directory:$PATH:/usr/sbin:/sbin" bash -euc "$script"
