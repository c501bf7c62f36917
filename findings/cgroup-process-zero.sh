#!/bin/sh
# Linux 6.18: process 0 of a cgroup is somebody else in cgroup v2, and who writes it back moves himself.
#
# A container that sees a cgroup of the host's (its own with a helper in it that joined only the cgroup,
# or a mount of /sys/fs/cgroup) finds processes there that have no number in its PID namespace.
# cgroup.procs of v2 lists each of them as 0. Written to a cgroup.procs 0 is the writer, and for kill(2) his process
# group: `for pid in $(cat from/cgroup.procs); do echo $pid >to/cgroup.procs; done` moves the shell, succeeds, and
# leaves who was meant where he was. v1 lists none of them: the cgroup looks empty, and cannot be removed
# (EBUSY). cgroups(7) tells of 0 as a word to write, not as one to read.
#
# Seen from another PID namespace: v2: 0; that loop exits with 0, the shell is in the other cgroup, and 0 is
# still listed in the first; v1: nothing, and EBUSY.
. "$(dirname "$0")/lib.sh"

needs_root "cgroups"
echo "with Linux $(uname -r)"
v2=$(sed -n 's/^[^ ]* \([^ ]*\) cgroup2 .*/\1/p' /proc/mounts | head -n 1)
v1=$(sed -n 's/^[^ ]* \([^ ]*\) cgroup .*[ ,]pids[ ,].*/\1/p' /proc/mounts | head -n 1)
[ "$v2" ] || give_up "no cgroup v2"
sleep 600 &
there=$!
groups="$v2/finding-$$ $v2/finding-$$-to"
[ -z "$v1" ] || groups="$groups $v1/finding-$$"
clean() {
    kill "$there" && wait "$there" || :
    for group in $groups; do rmdir "$group"; done
    rm -rf "$work"
}
trap clean EXIT INT TERM
for group in $groups; do mkdir "$group"; done
cat >"$work/move.sh" <<'SHELL'
from=$1 to=$2
echo $(cat "$from/cgroup.procs")
for pid in $(cat "$from/cgroup.procs"); do echo "$pid" >"$to/cgroup.procs" || exit; done
grep -qx $$ "$to/cgroup.procs" && echo moved
echo $(cat "$from/cgroup.procs")
SHELL
echo "$there" >"$v2/finding-$$/cgroup.procs"
out=$(unshare --pid --fork sh "$work/move.sh" "$v2/finding-$$" "$v2/finding-$$-to")
expect "v2, listed from another namespace" "$(echo "$out" | sed -n 1p)" 0
expect "v2, the shell that moves what is listed" "$(echo "$out" | sed -n 2p)" moved
expect "v2, listed then" "$(echo "$out" | sed -n 3p)" 0
expect "v2, from the host" "$(cat "$v2/finding-$$/cgroup.procs")" "$there"
if [ "$v1" ]; then
    echo "$there" >"$v1/finding-$$/cgroup.procs"
    expect "v1, listed from another namespace" "$(unshare --pid --fork cat "$v1/finding-$$/cgroup.procs")" ""
    expect "v1, removed" "$(rmdir "$v1/finding-$$" 2>&1 | sed 's/.*: //')" "Device or resource busy"
    expect "v1, from the host" "$(cat "$v1/finding-$$/cgroup.procs")" "$there"
fi
finish
