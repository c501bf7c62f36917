"""What a test left on the machine: everything it makes carries its prefix."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Container
from pathlib import Path

from conformance.host import CGROUP_ROOT, resctrl
from conformance.mounts import mounts_below
from conformance.resctrl import group_paths

_DEPTH = 5
_SETTLE_SECONDS = 3.0
_SETTLE_LONGEST = 12.0
_CLEAN_SECONDS = 5.0
_PAUSE = 0.02


def leftovers(prefix: str, directory: Path, root: Path) -> list[str]:
    """Return one line for each mount, cgroup, process, state file or the like named `prefix`."""
    lines = [f"mount {mount.point}" for mount in mounts_below([directory])]
    lines += [f"cgroup {path}" for path in cgroups(prefix)]
    lines += [f"resctrl {path}" for path in resctrl_groups(prefix)]
    lines += [f"process {describe(pid)}" for pid in _processes(prefix)]
    if root.is_dir():
        lines += [f"state {path}" for path in root.rglob("*") if prefix in path.name]
    return lines


def settled(prefix: str, directory: Path, root: Path, scale: float = 1.0) -> list[str]:
    """Return `leftovers`, giving what is just ending time, on a slow machine (`scale`) more."""
    seconds = min(_SETTLE_SECONDS * scale, _SETTLE_LONGEST)
    return patiently(lambda: leftovers(prefix, directory, root), seconds)


def patiently(look: Callable[[], list[str]], seconds: float) -> list[str]:
    """Return what `look` finds, once that is nothing or when `seconds` have passed."""
    deadline = time.monotonic() + seconds
    while (lines := look()) and time.monotonic() < deadline:
        time.sleep(_PAUSE)
    return lines


def clean(prefix: str, directory: Path) -> None:
    """Kill, unmount and remove what is left, so that no other test is touched."""
    end_all(lambda: _processes(prefix), cgroups(prefix), _CLEAN_SECONDS)
    unmount(directory)
    for path in (*cgroups(prefix), *resctrl_groups(prefix)):
        try:
            path.rmdir()
        except OSError:
            continue


def end_all(look: Callable[[], list[int]], groups: list[Path], seconds: float) -> None:
    """Kill the processes that `look` finds until there are none; `groups` are their cgroups, of
    which some may be frozen: on v1 they keep even SIGKILL waiting.
    """
    deadline = time.monotonic() + seconds
    while (pids := look()) and time.monotonic() < deadline:
        for path in groups:
            _thaw(path)
        for pid in pids:
            _kill(pid)
        time.sleep(_PAUSE)


def unmount(directory: Path) -> None:
    """Unmount everything on and below a directory."""
    for mount in reversed(mounts_below([directory])):
        subprocess.run(["umount", "-l", mount.point], check=False, capture_output=True)


def cgroups(prefix: str, depth: int = _DEPTH) -> list[Path]:
    """Return the cgroup directories with `prefix` in their name, and those below, deepest first;
    they are looked for `depth` levels down.
    """
    found: list[Path] = []
    top = str(CGROUP_ROOT)
    for parent, names, _ in os.walk(top):
        inside = named(parent, prefix)
        found += [Path(parent, name) for name in names if inside or named(name, prefix)]
        if not inside and parent.count("/") - top.count("/") >= depth:
            names.clear()
    return sorted(found, key=lambda path: -len(path.parts))


def resctrl_groups(prefix: str) -> list[Path]:
    """Return the groups of resctrl with `prefix` in their name, those of monitoring first."""
    root = resctrl()
    return [path for path in group_paths(root) if named(path.name, prefix)] if root else []


def processes(
    prefix: str, marks: Callable[[bytes], bool], others: Container[int] = ()
) -> list[int]:
    """Return the live processes in one of our cgroups, or whose environment says that they are
    ours (`marks`); but for this one and `others`.
    """
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdecimal() or int(entry) == os.getpid() or int(entry) in others:
            continue
        try:
            ours = marks(_read(f"/proc/{entry}/environ"))
            ours = ours or named(_read(f"/proc/{entry}/cgroup").decode(errors="replace"), prefix)
            if ours and not _is_zombie(entry):
                found.append(int(entry))
        except OSError:
            continue  # it ended while being looked at
    return sorted(found)


def describe(pid: int) -> str:
    """Return a process's number and command line, which has ended perhaps."""
    try:
        command = _read(f"/proc/{pid}/cmdline").replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        command = "?"
    return f"{pid} {command.strip()[:120]}"


def named(text: str, prefix: str) -> bool:
    """Tell whether `text` contains `prefix` as a whole: …-1 is not part of …-12."""
    return any(not part[:1].isdecimal() for part in text.split(prefix)[1:])


def _processes(prefix: str) -> list[int]:
    return processes(prefix, lambda found: named(found.decode(errors="replace"), prefix))


def _is_zombie(pid: str) -> bool:
    return _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()[0] in (b"Z", b"X")


def _thaw(path: Path) -> None:
    for name, word in (("freezer.state", "THAWED"), ("cgroup.freeze", "0")):
        if (path / name).exists():
            _write(path / name, word)


def _kill(pid: int) -> None:
    """Kill a process by a descriptor: its number may be another's."""
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except OSError:
        return
    finally:
        os.close(pidfd)


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError:
        return
