#!/bin/sh
# Linux 6.18, util-linux 2.38.1 (Debian 12): a list of CPUs has words and patterns, and only the kernel knows them.
#
# cpuset(7) and cgroup-v2.rst tell of numbers and ranges. cpuset.cpus takes more: `all` in any case,
# `N` (a capital) for the last one, `0-N`, every so many of a range (`0-N:1/2`, `all:1/2`), blanks and
# empty places. It never says so, and never reads back as it was written. So a checker that goes by the
# manual page refuses what works, who compares with what he wrote sees a change, and taskset(1),
# with the same list, knows none of the words. Kernel-parameters.rst has them, for the command line.
#
# Seen, with CPUs 0 to n: all and ALL: 0-n, N: n, 0-N:1/2: every other one, ` 0,,` : 0; n in small:
# EINVAL; taskset: all and N refused, and its own stride (0-n:2) is EINVAL for the kernel.
. "$(dirname "$0")/lib.sh"
needs_root "a cgroup"
debian util-linux=2.38.1-5+deb12u3
echo "with Linux $(uname -r)"
cpus=$(cat /sys/devices/system/cpu/online)
last=${cpus#0-}
[ "$cpus" = "0-$last" ] && [ "$cpus" = "$(cat /sys/devices/system/cpu/possible)" ] ||
    give_up "the CPUs are not 0 to n, all of them possible and online: $cpus"
for top in /sys/fs/cgroup/cpuset /sys/fs/cgroup; do
    [ -e "$top/cpuset.cpus" ] || grep -qw cpuset "$top/cgroup.subtree_control" 2>/dev/null || continue
    mkdir "$top/finding-$$" 2>/dev/null && group=$top/finding-$$ && break
done
[ "${group:-}" ] || give_up "no cpuset controller at hand"
trap 'rmdir "$group"; rm -rf "$work"' EXIT INT TERM
taken() {
    { echo "$1" >"$group/cpuset.cpus"; } 2>/dev/null && cat "$group/cpuset.cpus" || echo refused
}
others=$(seq -s , 0 2 "$last")
for list in all ALL 0-N; do expect "$list" "$(taken "$list")" "$cpus"; done
expect "N" "$(taken N)" "$last"
for list in 0-N:1/2 all:1/2; do expect "$list" "$(taken "$list")" "$others"; done
expect "' 0,,'" "$(taken ' 0,,')" 0
for list in n "0-$last:2" "'0'"; do expect "$list" "$(taken "$list")" refused; done
taskset() { "$root/usr/bin/taskset" -c "$1" true >/dev/null 2>&1 && echo taken || echo refused; }
for list in all N 0-N; do expect "taskset, $list" "$(taskset "$list")" refused; done
expect "taskset, 0-$last:2" "$(taskset "0-$last:2")" taken
finish
