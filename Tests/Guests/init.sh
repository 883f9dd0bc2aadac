#!/bin/busybox sh
# The guest's first process: makes the system usable, then runs the lines that come in on the console, one after another.
#
# Behind the output of each it prints a line of its own, "@@" and the status, by which the other end knows that it has ended.
/bin/busybox --install -s /bin
export PATH=/bin HOME=/root
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev 2>/dev/null
while read -r module; do insmod "/modules/$module"; done </modules/order
ip link set lo up
stty -echo -onlcr
echo "@@ready"
while read -r line; do
    # In a process of its own, so that no command takes the loop away.
    sh -c "$line" </dev/null 2>&1
    echo "@@$?"
done
poweroff -f
