#!/bin/sh
# Linux 6.18, iproute2 6.1.0 (Debian 12): a network device's other names are names to one half of the kernel.
#
# Since 5.5 a device may have alternative names, longer ones and several; systemd gives them to
# cards (enp3s0 beside eth0). Netlink and the ioctls take them, so `ip`, routes, SO_BINDTODEVICE and
# if_nametoindex(3) do. /sys/class/net, /proc/sys/net and /proc/net/dev do not have them, nor has
# if_nameindex(3): who asks whether a device exists gets one answer or the other. Where the kernel keeps a
# name it is worse. `ip rule add iif OTHER-NAME` works, and is shown, as long as the device stays; when it
# comes back (renamed for a moment, unplugged, moved out of a namespace and in again) a rule by its name is
# attached again, and one by its other name is detached for good, though `ip link show OTHER-NAME`
# finds the device. And another device cannot be given that name (EEXIST), which no list of files explains.
#
# Seen: index found, no directory in /sys nor /proc/sys; SO_BINDTODEVICE reads back the first name; after
# the device was renamed and renamed back, the rule by its name attached, the other detached; EEXIST.
. "$(dirname "$0")/lib.sh"

needs_root "a network namespace"
debian iproute2=6.1.0-3 libbpf1=1:1.1.2-0+deb12u1 libmnl0=1.0.4-3
echo "with Linux $(uname -r)"
LD_LIBRARY_PATH=$(echo "$root"/usr/lib/*-linux-gnu)
export LD_LIBRARY_PATH
ip=$(find "$root" -path '*bin/ip' ! -type d | head -n 1)
cat >"$work/look.sh" <<'SHELL'
set -e
ip=$1
mount -t sysfs sysfs "$2"
"$ip" link add dev7 type veth peer name peer7
"$ip" link property add dev dev7 altname uplink7
/usr/bin/python3 - "$2" <<'PYTHON'
import os
import socket
import sys

print("found" if socket.if_nametoindex("uplink7") == socket.if_nametoindex("dev7") else "not found")
print(*(os.path.exists(f"{sys.argv[1]}/class/net/{name}") for name in ("dev7", "uplink7")))
print(*(os.path.exists(f"/proc/sys/net/ipv4/conf/{name}") for name in ("dev7", "uplink7")))
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
    end.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"uplink7\0")
    print(end.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16).rstrip(b"\0").decode())
PYTHON
rules() { echo $("$ip" rule show | sed -n 's/.* iif \(.*\) lookup.*/\1/p'); }
"$ip" rule add iif dev7 table 7 pref 7
"$ip" rule add iif uplink7 table 8 pref 8
rules
"$ip" link set dev7 name other
"$ip" link set other name dev7
rules
"$ip" -o link show uplink7 | sed 's/^[0-9]*: \([^@]*\)@.*/\1/'
"$ip" link set peer7 name uplink7 2>&1 || :
SHELL
mkdir "$work/sys"
out=$(unshare --net --mount --propagation private sh "$work/look.sh" "$ip" "$work/sys")
expect "its index, by the other name" "$(echo "$out" | sed -n 1p)" found
expect "in /sys, by the one and the other" "$(echo "$out" | sed -n 2p)" "True False"
expect "in /proc/sys" "$(echo "$out" | sed -n 3p)" "True False"
expect "bound to the other, reads back" "$(echo "$out" | sed -n 4p)" dev7
expect "rules" "$(echo "$out" | sed -n 5p)" "dev7 uplink7"
expect "rules, after it was renamed and renamed back" "$(echo "$out" | sed -n 6p)" "dev7 uplink7 [detached]"
expect "found by the other name at that time" "$(echo "$out" | sed -n 7p)" dev7
expect "the other name for another device" "$(echo "$out" | sed -n 8p)" "RTNETLINK answers: File exists"
finish
