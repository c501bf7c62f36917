#!/bin/sh
# CNI plugins 1.1.1 (Debian 12), host-local: its reservations have line ends of another system.
#
# A reservation is a file named after the address. In it stand the container's id and the name of
# its interface, with carriage return and line feed between them, on Linux, and no line end behind.
# Who looks for the id with a shell's `read`, or compares lines, never finds it.
#
# Seen: 6f 6e 65 0d 0a 65 74 68 30 for container `one` and interface `eth0`.
. "$(dirname "$0")/lib.sh"
debian containernetworking-plugins=1.1.1+ds1-3+b5
cat >"$work/network" <<JSON
{"cniVersion": "1.0.0", "name": "net", "type": "any",
 "ipam": {"type": "host-local", "dataDir": "$work/data", "ranges": [[{"subnet": "10.9.0.0/24"}]]}}
JSON
CNI_COMMAND=ADD CNI_CONTAINERID=one CNI_NETNS=/proc/self/ns/net CNI_IFNAME=eth0 \
    CNI_PATH=$root/usr/lib/cni "$root/usr/lib/cni/host-local" <"$work/network" >"$work/result"
seen=$(od -An -tx1 "$work/data/net/10.9.0.2")
expect "the file's bytes" "$(echo $seen)" "6f 6e 65 0d 0a 65 74 68 30"
finish
