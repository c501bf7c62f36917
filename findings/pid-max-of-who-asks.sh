#!/bin/sh
# Linux 6.18: kernel.pid_max is four million in every new PID namespace, whatever its parents allow.
#
# Since 6.14 a PID namespace has a pid_max of its own. It does not begin with its parent's but with the
# largest there is, 4194304, and bounds nothing above: the parents' count as ever. On a host of 32768,
# which is what the kernel itself sets up on a machine of up to 32 CPUs, a container reads 4194304 and
# has no process left at 32768, together with the host. Who sizes a table by that file takes 128
# times as much inside as outside. And it is no longer one file: opened by the same path of the same
# mounted /proc it is the opener's own, so to look at the host's /proc does not help; a descriptor
# that was opened outside stays the host's.
#
# Seen: 4194304 in a namespace, and, once that is set to 600, 4194304 in the one below, where the fork that
# would have made process 600 fails with EAGAIN; outside all is as it was.
. "$(dirname "$0")/lib.sh"

needs_root "PID namespaces"
release=$(uname -r)
echo "with Linux $release"
# In an older one the file is everybody's, and is not ours to write.
[ "$(printf '6.14\n%s\n' "$release" | sort -V | head -n 1)" = 6.14 ] || give_up "Linux before 6.14"
cat >"$work/look.py" <<'PYTHON'
import ctypes
import errno
import os

PID_MAX = "/proc/sys/kernel/pid_max"
CLONE_NEWPID = 0x20000000


def pid_max():
    with open(PID_MAX) as file:
        return file.read().strip()


def below(work):
    """Call work in a new PID namespace, as its first process."""
    between = os.fork()
    if between == 0:
        if ctypes.CDLL(None).unshare(CLONE_NEWPID):
            os._exit(1)
        first = os.fork()
        if first == 0:
            work()
            os._exit(0)
        os._exit(os.waitstatus_to_exitcode(os.waitpid(first, 0)[1]))
    os.waitpid(between, 0)


def upper():
    print(pid_max(), os.pread(outside, 20, 0).decode().strip() == before, flush=True)
    with open(PID_MAX, "w") as file:
        file.write("600")
    below(lower)
    print(pid_max(), flush=True)


def lower():
    print(pid_max(), flush=True)
    # Processes that end at once and are not waited for keep their numbers.
    last = 1
    while last <= 600:
        try:
            last = os.fork()
        except OSError as error:
            print(errno.errorcode[error.errno], last < 600, flush=True)
            break
        if last == 0:
            os._exit(0)


before, outside = pid_max(), os.open(PID_MAX, os.O_RDONLY)
below(upper)
print(pid_max() == before)
PYTHON
out=$(/usr/bin/python3 "$work/look.py")
expect "in a namespace; a descriptor of outside is the host's" "$(echo "$out" | sed -n 1p)" "4194304 True"
expect "below one of 600" "$(echo "$out" | sed -n 2p)" 4194304
expect "there, before process 600" "$(echo "$out" | sed -n 3p)" "EAGAIN True"
expect "the upper one afterwards" "$(echo "$out" | sed -n 4p)" 600
expect "outside as before" "$(echo "$out" | sed -n 5p)" True
finish
