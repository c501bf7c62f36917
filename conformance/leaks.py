"""What a test left on the machine: everything it makes carries its prefix."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from conformance.host import CGROUP_ROOT, resctrl
from conformance.resctrl import group_paths

_DEPTH = 5
_SETTLE_SECONDS = 3.0
_SETTLE_LONGEST = 12.0


def leftovers(prefix: str, directory: Path, root: Path) -> list[str]:
    """Return one line for each mount, cgroup, process, state file or the like named `prefix`."""
    lines = [f"mount {point}" for point in _mounts(str(directory))]
    lines += [f"cgroup {path}" for path in cgroups(prefix)]
    lines += [f"resctrl {path}" for path in resctrl_groups(prefix)]
    lines += [f"process {pid} {command}" for pid, command in _processes(prefix)]
    if root.is_dir():
        lines += [f"state {path}" for path in root.rglob("*") if prefix in path.name]
    return lines


def settled(prefix: str, directory: Path, root: Path, scale: float = 1.0) -> list[str]:
    """Return `leftovers`, giving what is just ending time, on a slow machine (`scale`) more."""
    deadline = time.monotonic() + min(_SETTLE_SECONDS * scale, _SETTLE_LONGEST)
    while (lines := leftovers(prefix, directory, root)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return lines


def clean(prefix: str, directory: Path) -> None:
    """Kill, unmount and remove what is left, so that no other test is touched."""
    deadline = time.monotonic() + 5
    while (found := list(_processes(prefix))) and time.monotonic() < deadline:
        for path in cgroups(prefix):
            for name, word in (("freezer.state", "THAWED"), ("cgroup.freeze", "0")):
                if (path / name).exists():
                    _write(path / name, word)
        for pid, _ in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.02)
    unmount(directory)
    for path in (*cgroups(prefix), *resctrl_groups(prefix)):
        try:
            path.rmdir()
        except OSError:
            continue


def unmount(directory: Path) -> None:
    """Unmount everything on and below a directory."""
    for point in reversed(_mounts(str(directory))):
        subprocess.run(["umount", "-l", point], check=False, capture_output=True)


def cgroups(prefix: str) -> list[Path]:
    """Return the cgroup directories with `prefix` in their name, and those below, deepest first."""
    found: list[Path] = []
    base = len(CGROUP_ROOT.parts)
    for parent, names, _ in os.walk(CGROUP_ROOT):
        inside = _named(parent, prefix)
        found += [Path(parent, name) for name in names if inside or _named(name, prefix)]
        if not inside and len(Path(parent).parts) - base >= _DEPTH:
            names.clear()
    return sorted(found, key=lambda path: -len(path.parts))


def resctrl_groups(prefix: str) -> list[Path]:
    """Return the groups of resctrl with `prefix` in their name, those of monitoring first."""
    root = resctrl()
    return [path for path in group_paths(root) if _named(path.name, prefix)] if root else []


def _mounts(directory: str) -> list[str]:
    with open("/proc/self/mountinfo") as file:
        points = [line.split()[4] for line in file]
    return [point for point in points if point == directory or point.startswith(f"{directory}/")]


def _processes(prefix: str) -> Iterator[tuple[int, str]]:
    """Yield the live processes in one of our cgroups, or with our name in their environment."""
    for entry in os.listdir("/proc"):
        if not entry.isdecimal() or int(entry) == os.getpid():
            continue
        try:
            text = _read(f"/proc/{entry}/environ") + _read(f"/proc/{entry}/cgroup")
            dead = _read(f"/proc/{entry}/stat").rpartition(")")[2].split()[0] in {"Z", "X"}
            if not dead and _named(text, prefix):
                yield int(entry), _read(f"/proc/{entry}/cmdline").replace("\0", " ")[:100]
        except OSError:
            continue  # it ended while being looked at


def _named(text: str, prefix: str) -> bool:
    """Tell whether `text` contains `prefix` as a whole: …-1 is not part of …-12."""
    return any(not part[:1].isdecimal() for part in text.split(prefix)[1:])


def _read(path: str) -> str:
    with open(path, "rb") as file:
        return file.read().decode(errors="replace")


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError:
        return
