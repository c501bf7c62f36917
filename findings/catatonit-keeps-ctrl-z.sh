#!/bin/sh
# catatonit 0.1.7, tini 0.19.0, dumb-init 1.2.5 (Debian 12): below one of the three Ctrl-Z does nothing.
#
# All three are what `--init` of an engine puts before a container's program (podman: catatonit, docker:
# tini). catatonit blocks signals to wait for them, and its child begins with three of those still
# blocked: SIGTSTP, SIGTTIN and SIGTTOU. A mask is inherited over execve(2) and by every child, and few
# programs look at it: a shell gives its jobs the mask that it was given. So in `podman run --init -it`
# Ctrl-Z stops nothing, and a job in the background that reads from the terminal gets EIO instead of
# being stopped. Without --init, or with one of the others, the same shell's jobs are stopped.
#
# Seen, for a job (a process group of its own, below a child of the init): catatonit 20, 21 and 22 blocked,
# and after SIGTSTP it sleeps on; of the others nothing, and it is stopped.
. "$(dirname "$0")/lib.sh"

debian catatonit=0.1.7-1+b2 tini=0.19.0-1+b3 dumb-init=1.2.5-2
cat >"$work/look.py" <<'PYTHON'
import os
import signal
import subprocess
import sys
import time

SHELL = """
import os, signal
job = os.fork()
if job == 0:
    os.setpgid(0, 0)
    print(os.getpid(), *map(int, sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ()))), flush=True)
    while True:
        signal.pause()
os.waitpid(job, 0)
"""


def state(pid):
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0]


for init in sys.argv[1:]:
    command = [init, "--", "/usr/bin/python3", "-c", SHELL]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        job, *blocked = process.stdout.readline().split()
        try:
            while state(job) != "S":
                time.sleep(0.01)
            os.kill(int(job), signal.SIGTSTP)
            # What is going to be stopped is, long before this.
            until = time.monotonic() + 2
            while state(job) != "T" and time.monotonic() < until:
                time.sleep(0.01)
            print("stopped" if state(job) == "T" else "sleeps", *blocked)
        finally:
            os.kill(int(job), signal.SIGKILL)
PYTHON
out=$(/usr/bin/python3 "$work/look.py" "$root/usr/bin/catatonit" "$root/usr/bin/tini" "$root/usr/bin/dumb-init")
expect "catatonit: SIGTSTP, and signals blocked" "$(echo "$out" | sed -n 1p)" "sleeps 20 21 22"
expect "tini" "$(echo "$out" | sed -n 2p)" stopped
expect "dumb-init" "$(echo "$out" | sed -n 3p)" stopped
finish
