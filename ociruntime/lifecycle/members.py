"""The processes of a container that has no cgroup of its own, told by its PID namespace."""

from __future__ import annotations

from ociruntime import hostos as os


def namespace_members(init: int) -> list[int]:
    """The processes in the PID namespace of ``init`` and in those below it, as the caller's pids,
    sorted; [] when ``init`` is gone.

    Read from /proc: a process that starts meanwhile may be missing.
    """
    wanted = _namespace(init)
    if not wanted:
        return []
    parents: dict[int, int] = {}
    found: set[int] = set()
    for name in os.listdir("/proc"):
        if name.isdecimal():
            pid = int(name)
            parents[pid] = _parent(pid)
            if _namespace(pid) == wanted:
                found.add(pid)
    # A namespace made inside: its first process has a parent outside of it, which is one of ours.
    fresh = True
    while fresh:
        fresh = False
        for pid, parent in parents.items():
            if parent in found and pid not in found:
                found.add(pid)
                fresh = True
    return sorted(found)


def _namespace(pid: int) -> str:
    """What /proc says of a process's PID namespace; empty when it may not be looked at or is
    gone.
    """
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return ""


def _parent(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            text = file.read(2048)
    except OSError:
        return 0
    # The second field is the command's name, which may hold blanks and parentheses.
    return int(text[text.rindex(b")") + 2 :].split()[1])
