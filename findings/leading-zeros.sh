#!/bin/sh
# Linux 6.18: a number that begins with 0 is octal to some of the kernel's files and options, and decimal to others.
#
# Nothing says which. /proc/sys, the limits of cgroups, oom_score_adj and a tmpfs's uid= take 0100 for 64 (and
# 0x40, too); uid_map, timens_offsets and blkio's throttles take it for 100. All read back in decimal. 08 is
# an error to the former and 8 to the latter. So what pads its numbers (printf %04d, a template, a table),
# or hands on strings as they come (the sysctls and mount options of a container), sets a limit that is
# smaller by a third, which no error tells, until a digit is 8 or 9.
#
# Seen, of 0100 and 08: kernel.shmmni, pids.max, oom_score_adj, tmpfs: 64 and refused; uid_map,
# timens_offsets, blkio.throttle (cgroup v1): 100 and 8.
. "$(dirname "$0")/lib.sh"

needs_root "namespaces and cgroups"
echo "with Linux $(uname -r)"
for top in /sys/fs/cgroup/pids /sys/fs/cgroup; do
    [ -e "$top/tasks" ] || grep -qw pids "$top/cgroup.subtree_control" 2>/dev/null || continue
    mkdir "$top/finding-$$" 2>/dev/null && pids=$top/finding-$$ && break
done
[ "${pids:-}" ] || give_up "no pids controller at hand"
throttle=''
disk=$(cat /sys/block/[sv]da/dev 2>/dev/null | head -n 1)
if [ "$disk" ] && mkdir "/sys/fs/cgroup/blkio/finding-$$" 2>/dev/null; then throttle=/sys/fs/cgroup/blkio/finding-$$; fi
trap 'rmdir "$pids" ${throttle:+"$throttle"}; rm -rf "$work"' EXIT INT TERM
mkdir "$work/tmpfs"
cat >"$work/look.py" <<'PYTHON'
import ctypes
import os
import sys

CLONE_NEWIPC, CLONE_NEWNS, CLONE_NEWTIME, CLONE_NEWUSER = 0x08000000, 0x00020000, 0x80, 0x10000000
MS_REC, MS_PRIVATE = 0x4000, 1 << 18
libc = ctypes.CDLL(None)
pids, tmpfs, throttle, disk = sys.argv[1:]


def unshare(flags):
    if libc.unshare(flags):
        os._exit(1)


def written(path, text, read_back=None):
    with open(path, "w") as file:
        file.write(text)
    with open(read_back or path) as file:
        return file.read().split()


def shmmni(number):
    unshare(CLONE_NEWIPC)
    return written("/proc/sys/kernel/shmmni", number)[0]


def pids_max(number):
    return written(f"{pids}/pids.max", number)[0]


def oom_score_adj(number):
    return written("/proc/self/oom_score_adj", number)[0]


def tmpfs_uid(number):
    unshare(CLONE_NEWNS)
    if libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None):
        os._exit(1)
    if libc.mount(b"tmpfs", tmpfs.encode(), b"tmpfs", 0, f"uid={number}".encode()):
        raise OSError
    return os.stat(tmpfs).st_uid


def uid_map(number):
    unshare(CLONE_NEWUSER)
    return written("/proc/self/uid_map", f"{number} 0 1")[0]


def timens_offsets(number):
    unshare(CLONE_NEWTIME)
    return written("/proc/self/timens_offsets", f"monotonic {number} 0")[1]


def blkio_throttle(number):
    return written(f"{throttle}/blkio.throttle.read_bps_device", f"{disk} {number}")[1]


def looked_at(kind, number):
    """What kind makes of number, asked in a process of its own."""
    pid = os.fork()
    if pid == 0:
        try:
            print(kind(number), end=" ", flush=True)
        except OSError:
            print("refused", end=" ", flush=True)
        os._exit(0)
    os.waitpid(pid, 0)


for kind in (shmmni, pids_max, oom_score_adj, tmpfs_uid, uid_map, timens_offsets, blkio_throttle):
    if kind is not blkio_throttle or throttle:
        print(kind.__name__, end=" ", flush=True)
        looked_at(kind, "0100")
        looked_at(kind, "08")
        print(flush=True)
PYTHON
/usr/bin/python3 "$work/look.py" "$pids" "$work/tmpfs" "$throttle" "$disk" >"$work/out"
while read -r kind seen; do
    case $kind in uid_map | timens_offsets | blkio_throttle) wanted="100 8" ;; *) wanted="64 refused" ;; esac
    expect "$kind" "$seen" "$wanted"
done <"$work/out"
expect "looked at" "$(wc -l <"$work/out")" "$([ "$throttle" ] && echo 7 || echo 6)"
finish
