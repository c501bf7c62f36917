#!/bin/sh
# Linux 6.18, psutil 7.2.2, psmisc 23.6 (Debian 12): a zombie that works, listens and holds files.
#
# A main thread may end before the others (pthread_exit(3) in main, or an exit(2) that is not exit_group):
# C programs do, and the process lives on. Its directory in /proc is that of the dead thread: state Z,
# no exe, no cwd, no root, no namespaces, an empty command line, and not one open descriptor. So who
# takes Z for an end, as psutil and ps do (`<defunct>`), gives up a program that serves, and who looks for
# the one that holds a file, a port or a mount (fuser, or any walk over /proc/PID/fd) finds nobody. The
# truth is below task/TID/, in the number of threads (field 20 of stat), and in a pidfd: it becomes
# readable, and waitpid(2) returns, when the last thread is gone.
#
# Seen, while a thread holds a file: Z and 2 threads; psutil: zombie, no files; fuser: nobody; the pidfd
# not readable, waitpid nothing; one descriptor more below task/TID/fd. The file is held until SIGKILL.
. "$(dirname "$0")/lib.sh"

pypi psutil==7.2.2
debian psmisc=23.6-1
echo "with Linux $(uname -r)"
cat >"$work/look.py" <<'PYTHON'
import ctypes
import os
import select
import subprocess
import sys
import threading
import time

import psutil

held, fuser = sys.argv[1:]
exit_thread = {"x86_64": 60, "aarch64": 93}[os.uname().machine]


def work(pipe):
    with open(held, "w"):
        os.write(pipe, b"x")
        time.sleep(600)


reading, writing = os.pipe()
pid = os.fork()
if pid == 0:
    os.close(reading)
    threading.Thread(target=work, args=(writing,)).start()
    ctypes.CDLL(None).syscall(exit_thread, 0)
os.read(reading, 1)
proc = f"/proc/{pid}"


def state():
    with open(f"{proc}/stat") as file:
        return file.read().rpartition(")")[2].split()


def missing(name):
    try:
        os.readlink(f"{proc}/{name}")
    except FileNotFoundError:
        return name


try:
    while state()[0] != "Z":
        time.sleep(0.01)
    print(state()[0], state()[17])
    print(*filter(None, map(missing, ("exe", "cwd", "root", "ns/mnt"))))
    print(len(os.listdir(f"{proc}/fd")))
    (thread,) = (tid for tid in os.listdir(f"{proc}/task") if tid != str(pid))
    files = (os.readlink(f"{proc}/task/{thread}/fd/{fd}") for fd in os.listdir(f"{proc}/task/{thread}/fd"))
    print("held" if held in files else "not held")
    process = psutil.Process(pid)
    try:
        files = len(process.open_files())
    except psutil.ZombieProcess:
        files = "raised ZombieProcess"
    print(process.status(), files, sep=", ")
    print(subprocess.run([fuser, held], capture_output=True, text=True).stdout.strip() or "nobody")
    poll = select.poll()
    poll.register(os.pidfd_open(pid), select.POLLIN)
    print("readable" if poll.poll(0) else "not readable", os.waitpid(pid, os.WNOHANG)[0], sep=", ")
finally:
    os.kill(pid, 9)
    os.waitpid(pid, 0)
PYTHON
out=$("$python" "$work/look.py" "$work/held" "$(find "$root" -path '*bin/fuser')")
expect "state and threads" "$(echo "$out" | sed -n 1p)" "Z 2"
expect "not there any more" "$(echo "$out" | sed -n 2p)" "exe cwd root ns/mnt"
expect "descriptors of the process" "$(echo "$out" | sed -n 3p)" 0
expect "the file, by its thread" "$(echo "$out" | sed -n 4p)" held
expect "psutil" "$(echo "$out" | sed -n 5p)" "zombie, 0"
expect "fuser" "$(echo "$out" | sed -n 6p)" nobody
expect "its pidfd, and waitpid" "$(echo "$out" | sed -n 7p)" "not readable, 0"
finish
