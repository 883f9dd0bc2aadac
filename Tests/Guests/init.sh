#!/bin/busybox sh
# The guest's first process: prepares the system, then runs the lines from the console in sequence.
#
# After each command's output it prints a line with "@@" and the status, which marks the command's
# end.
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
    # In a separate process, so that no command ends the loop.
    sh -c "$line" </dev/null 2>&1
    echo "@@$?"
done
poweroff -f
