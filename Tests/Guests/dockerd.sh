#!/usr/bin/env bash
# dockerd.sh DIRECTORY PROXY: dockerd with a userland proxy, in the caller's network namespace.
#
# Run it in mount and PID namespaces of its own. dockerd keeps everything in the directory and listens at
# DIRECTORY/docker.sock; its image "web" has busybox and, as /load, the program in $RDNET_LOAD. The containers'
# control groups are below one named after the directory, in hierarchies of version 1 mounted for this script alone.
set -euo pipefail
directory=$1 proxy=$2
export PATH=$PATH:/usr/sbin:/sbin

mount -t tmpfs none /run
mount -t tmpfs none /sys/fs/cgroup
for controller in cpuset cpu cpuacct memory devices freezer pids blkio; do
    mkdir "/sys/fs/cgroup/$controller"
    mount -t cgroup -o "$controller" none "/sys/fs/cgroup/$controller" || rmdir "/sys/fs/cgroup/$controller"
done
sysctl -qw net.ipv4.ip_forward=1

tree=$directory/tree
mkdir -p "$tree"
cp "$RDNET_LOAD" "$tree/load"
"${0%/*}/web-image.sh" "$tree" "$directory/web.tar"

# Not by exec: the end of this namespace's first process would end its containers, too.
dockerd --iptables=false --storage-driver vfs --data-root "$directory/data" --exec-root "$directory/exec" \
    --pidfile "$directory/dockerd.pid" --host "unix://$directory/docker.sock" \
    --cgroup-parent "/${directory##*/}" --userland-proxy-path "$proxy" || true
sleep infinity
