"""Run a command as rootless engines run their runtime: as root of a user and a mount namespace.

    python nested.py COMMAND...

Ids 0 to 65535 are those from 100000 on of the host. The caller is root of the host.
"""

from __future__ import annotations

import ctypes
import os
import sys

FIRST, COUNT = 100_000, 65_536
CLONE_NEWUSER, CLONE_NEWNS, PR_SET_DUMPABLE = 0x10000000, 0x20000, 4


def main(command: list[str]) -> int:
    """Run ``command`` and return its exit status."""
    asking, told = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        _become_root(asking[1], told[0])
        os.execvp(command[0], command)
    os.read(asking[0], 1)
    for kind in ("uid", "gid"):
        with open(f"/proc/{pid}/{kind}_map", "w") as file:
            file.write(f"0 {FIRST} {COUNT}\n")
    os.write(told[1], b"x")
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _become_root(ask: int, answer: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    os.setgroups([])
    os.setresgid(FIRST, FIRST, FIRST)
    os.setresuid(FIRST, FIRST, FIRST)
    libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
    _unshare(libc, CLONE_NEWUSER)
    os.write(ask, b"x")
    os.read(answer, 1)
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    _unshare(libc, CLONE_NEWNS)


def _unshare(libc: ctypes.CDLL, flags: int) -> None:
    if libc.unshare(flags):
        raise OSError(ctypes.get_errno(), "unshare(2)")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
