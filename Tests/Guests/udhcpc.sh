#!/bin/busybox sh
# Applies udhcpc's lease: address, MTU, route, name server.
case $1 in
deconfig)
    ip address flush dev "$interface"
    ip link set "$interface" up
    ;;
bound | renew)
    ip address flush dev "$interface"
    ip address add "$ip/$mask" dev "$interface"
    [ -z "$mtu" ] || ip link set "$interface" mtu "$mtu"
    ip route add default via "${router%% *}" dev "$interface"
    for server in $dns; do echo "nameserver $server"; done >/etc/resolv.conf
    ;;
esac
