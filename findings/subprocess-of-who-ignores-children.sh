#!/bin/sh
# Python 3.11: who was started by somebody that ignores SIGCHLD takes every failing program for a good one.
#
# "Ignored" is inherited over execve(2), and with SIGCHLD ignored the kernel keeps no status of a
# child: waitpid(2) waits for its end and says ECHILD. Popen takes that for 0, so run(check=True)
# raises nothing. os.system() says -1 for the same child, asyncio 255 with a line on standard error.
# A program does not see who started it: a supervisor that wants no zombies, a shell with
# `trap '' CHLD` (bash passes it on, dash does not), and every check of an exit status below it is
# void. restore_signals resets SIGPIPE, SIGXFZ and SIGXFSZ in the child, and nothing in the parent.
#
# Seen, for `exit 7`: Popen 0, check=True silent, os.system -1, asyncio 255; with the default 7, 7, 1792, 7.
. "$(dirname "$0")/lib.sh"
echo "with $(/usr/bin/python3 --version), Linux $(uname -r)"
cat >"$work/seven.py" <<'PYTHON'
import asyncio
import os
import subprocess

seven = ["sh", "-c", "exit 7"]


async def awaited():
    return await (await asyncio.create_subprocess_exec(*seven)).wait()


try:
    checked = subprocess.run(seven, check=True).returncode
except subprocess.CalledProcessError as error:
    checked = f"raised {error.returncode}"
print(subprocess.call(seven), checked, os.system("exit 7"), asyncio.run(awaited()), sep=", ")
PYTHON
cat >"$work/start.py" <<'PYTHON'
import os
import signal
import sys

signal.signal(signal.SIGCHLD, getattr(signal, sys.argv[1]))
os.execv("/usr/bin/python3", ["python3", *sys.argv[2:]])
PYTHON
started() { /usr/bin/python3 "$work/start.py" "$1" "$work/seven.py" 2>"$work/said"; }
expect "started with the default" "$(started SIG_DFL)" "7, raised 7, 1792, 7"
expect "started with SIGCHLD ignored" "$(started SIG_IGN)" "0, 0, -1, 255"
expect "and on standard error" "$(grep -o 'will report returncode 255' "$work/said")" \
    "will report returncode 255"
finish
