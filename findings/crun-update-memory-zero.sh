#!/bin/sh
# crun 1.8.1 and runc 1.1.5 (Debian 12), cgroup v1: a memory limit of 0 in an update is a value to
# one and absence to the other.
#
# Docker's engine has no word for "not asked for" in what it sends to `update`: every resource that
# the user did not name is 0. runc leaves such a limit alone. crun writes it: 0 bytes to
# memory.limit_in_bytes, which the kernel refuses while the group is in use (EBUSY), and the
# resources behind it in the same request are not set either. With cpu.shares alone both do the same.
#
# Seen: runc exits 0, limit as it was, shares 512; crun exits 1, limit as it was, shares as they were.
. "$(dirname "$0")/lib.sh"
needs_root "containers with cgroups"
[ -e /sys/fs/cgroup/memory/memory.limit_in_bytes ] || give_up "no memory controller of cgroup v1"
debian runc=1.1.5+ds1-1+deb12u1 crun=1.8.1-1+deb12u1 libseccomp2=2.5.4-1+deb12u1 \
    libyajl2=2.1.0-3+deb12u2 busybox-static=1:1.35.0-4+deb12u1+b1
LD_LIBRARY_PATH=$(echo "$root"/usr/lib/*-linux-gnu)
export LD_LIBRARY_PATH
mkdir -p "$work/b/rootfs/bin" "$work/b/rootfs/proc"
cp "$root"/bin/busybox "$work/b/rootfs/bin/" 2>/dev/null || cp "$root"/usr/bin/busybox "$work/b/rootfs/bin/"
limit=67108864
for name in runc crun; do
    program=$(find "$root/usr" -path "*bin/$name" -type f)
    id=finding-$$-$name
    cat >"$work/b/config.json" <<CONFIG
{"ociVersion": "1.0.2", "root": {"path": "rootfs"},
 "process": {"cwd": "/", "args": ["/bin/busybox", "sleep", "100"], "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}},
 "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
 "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}], "cgroupsPath": "/$id",
           "resources": {"memory": {"limit": $limit}, "cpu": {"shares": 1024}}}}
CONFIG
    "$program" --root "$work/state" run -d --bundle "$work/b" "$id" </dev/null >"$work/log" 2>&1 ||
        give_up "$name runs no container here: $(tail -n 1 "$work/log")"
    echo '{"memory": {"limit": 0}, "cpu": {"shares": 512}}' >"$work/resources.json"
    status=0
    "$program" --root "$work/state" update --resources "$work/resources.json" "$id" >"$work/log" 2>&1 || status=$?
    memory=$(cat "/sys/fs/cgroup/memory/$id/memory.limit_in_bytes")
    shares=$(cat "/sys/fs/cgroup/cpu/$id/cpu.shares")
    "$program" --root "$work/state" delete --force "$id"
    [ "$name" = runc ] && wanted="0 $limit 512" || wanted="1 $limit 1024"
    expect "$name: status, limit, shares" "$status $memory $shares" "$wanted"
done
finish
