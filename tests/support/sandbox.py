"""One test's private corner of the machine, the check that nothing leaked out of it, its removal.

Everything a test makes carries its *prefix* (ids, cgroups, environment of processes, network
devices) or lies in its *directory* (bundles, state root, canaries, TMPDIR). The leak check looks
only at those, so tests run in parallel on one machine.
"""

from __future__ import annotations

import itertools
import os
import shutil
import stat
import subprocess
import tempfile
import time
from pathlib import Path

from conformance.leaks import cgroups, describe, end_all, named, patiently, processes
from conformance.mounts import Mount, mounts_of
from tests.support.patience import FACTOR

MARKER = "OCIRT_TEST"
CGROUP_PARENT = "ocirt-test"
_CGROUP_DEPTH = 4
_numbers = itertools.count(1)


class Sandbox:
    """Names, directories and the leak check of one test.

    `prefix` starts every id; `directory` is traversable by every user, and holds `bundles`,
    `state` (the runtime's --root), `tmp` (its TMPDIR) and `logs`.
    """

    def __init__(self) -> None:
        self.number = next(_numbers)
        self.prefix = f"ocirt-test-{os.getpid()}-{self.number}"
        self.device_prefix = f"ot{os.getpid() % 100_000}n{self.number}"
        self.directory = Path(tempfile.mkdtemp(prefix=f"{self.prefix}-"))
        self.directory.chmod(0o711)
        self.root = self.directory / "state"
        self.tmp = self.directory / "tmp"
        self.logs = self.directory / "logs"
        self.bundles = self.directory / "bundles"
        for path in (self.tmp, self.logs, self.bundles):
            path.mkdir()
        self.null = self._make_null()
        # Processes that work for the test itself, and are none of what it leaves.
        self.helpers: set[int] = set()
        self._ids = itertools.count(1)

    def _make_null(self) -> Path:
        """A null device of the test's own: some runtimes chown the one they get as stdin."""
        path = self.directory / "null"
        if os.geteuid() != 0:
            return Path(os.devnull)
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        path.chmod(0o666)
        return path

    def new_id(self) -> str:
        """Return a container id that no other test uses."""
        return f"{self.prefix}-{next(self._ids)}"

    def new_device(self) -> str:
        """Return a network device name (under 16 characters) that no other test uses."""
        return f"{self.device_prefix}d{next(self._ids)}"

    def environment(self) -> dict[str, str]:
        """Return the environment runtimes are started with: short, and carrying the marker."""
        return {
            "PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
            "TMPDIR": str(self.tmp),
            MARKER: self.prefix,
        }

    def processes(self) -> list[int]:
        """Return the live processes that carry the marker or sit in one of our cgroups."""
        marker = f"{MARKER}={self.prefix}".encode()
        return processes(self.prefix, lambda found: marker in found.split(b"\0"), self.helpers)

    def cgroups(self) -> list[Path]:
        """Return our cgroup directories in every hierarchy, deepest first."""
        return cgroups(self.prefix, _CGROUP_DEPTH)

    def leaks(self) -> list[str]:
        """Return one line for each thing the test left behind, [] when there is none."""
        lines = [f"mount {mount.point} ({mount.fstype})" for mount in self._mounts()]
        lines += [f"process {describe(pid)}" for pid in self.processes()]
        lines += [f"cgroup {path}" for path in self.cgroups()]
        lines += [f"network device {name}" for name in self._devices()]
        lines += [f"state file {path}" for path in self._state_files()]
        lines += [f"temporary file {path}" for path in sorted(self.tmp.rglob("*"))]
        lines += [f"socket {name}" for name in self._sockets()]
        return lines

    def settled_leaks(self, seconds: float = 20 * FACTOR) -> list[str]:
        """Return `leaks()`, giving dying processes up to `seconds` to disappear."""
        return patiently(self.leaks, seconds)

    def clean(self) -> None:
        """Kill, unmount and remove everything that is left, so that no other test is touched."""
        end_all(self.processes, self.cgroups(), 20 * FACTOR)
        for mount in reversed(self._mounts()):
            subprocess.run(["umount", "-l", mount.point], check=False, capture_output=True)
        for path in self.cgroups():
            _remove_cgroup(path)
        for name in self._devices():
            subprocess.run(["ip", "link", "del", name], check=False, capture_output=True)
        if not self._mounts():  # removing files through a leaked bind mount would destroy the host
            shutil.rmtree(self.directory, onerror=_retry_writable)

    def _mounts(self) -> list[Mount]:
        return [m for m in mounts_of() if named(m.point, self.prefix)]

    def _devices(self) -> list[str]:
        names = os.listdir("/sys/class/net")
        return [name for name in names if name.startswith(self.device_prefix)]

    def _state_files(self) -> list[Path]:
        if not self.root.is_dir():
            return []
        return [path for path in sorted(self.root.rglob("*")) if named(path.name, self.prefix)]

    def _sockets(self) -> list[str]:
        lines = Path("/proc/net/unix").read_text(errors="replace").splitlines()[1:]
        names = [line.split(maxsplit=7)[7] for line in lines if line.count(" ") and "/" in line]
        ours = [name for name in names if named(name, self.prefix)]
        return [name for name in ours if not name.startswith(str(self.directory / "test-"))]


def _remove_cgroup(path: Path) -> None:
    deadline = time.monotonic() + 20 * FACTOR
    while time.monotonic() < deadline:
        try:
            path.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(0.01)  # the last process is still on its way out
        else:
            return


def _retry_writable(_function: object, path: str, _error: object) -> None:
    """Remove what an attack made immutable or unreadable; give up quietly on the rest."""
    subprocess.run(["chattr", "-i", path], check=False, capture_output=True)
    try:
        if stat.S_ISDIR(os.lstat(path).st_mode):
            os.rmdir(path)
        else:
            os.unlink(path)
    except OSError:
        return
