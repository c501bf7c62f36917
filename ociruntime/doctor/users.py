"""What an ordinary user's containers need: ids, the programs that map them, a directory."""

from __future__ import annotations

import os
import pwd
import stat

from ociruntime.doctor import ABSENT, FAILED, OK, WARNING, Finding, Machine
from ociruntime.process.rootless import HELPERS

LEAST = 65536
GRANTS = ("/etc/subuid", "/etc/subgid")


def identity(machine: Machine) -> tuple[str, str]:
    """(name, uid) of the caller, or of who called sudo."""
    uid = os.environ.get("SUDO_UID", "") if machine.euid == 0 else str(machine.euid)
    uid = uid or str(machine.euid)
    try:
        return pwd.getpwuid(int(uid)).pw_name, uid
    except (KeyError, ValueError):
        return "", uid


def ranges(machine: Machine) -> list[Finding]:
    """What /etc/subuid and /etc/subgid grant."""
    if not machine.rootless:
        return []
    name, uid = identity(machine)
    missing = [file for file in GRANTS if _granted(machine, file, name, uid) < LEAST]
    if not missing:
        return [Finding("ranges of ids", OK, f"{LEAST} ids or more are granted to {name or uid}")]
    message = (
        f"{' and '.join(missing)} grant {name or uid} fewer than {LEAST} ids: only one id of a "
        "container can be mapped"
    )
    cure = (
        f"sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {name or 'USER'}"
    )
    return [Finding("ranges of ids", WARNING, message, cure)]


def _granted(machine: Machine, file: str, name: str, uid: str) -> int:
    total = 0
    for line in machine.read(file).splitlines():
        who, _, rest = line.partition(":")
        count = rest.partition(":")[2].strip()
        if who in (name, uid) and who and count.isdecimal():
            total += int(count)
    return total


def helpers(machine: Machine) -> list[Finding]:
    """newuidmap and newgidmap."""
    if not machine.rootless:
        return []
    bad = []
    for paths in HELPERS.values():
        path = next((path for path in paths if machine.exists(path)), "")
        if not path:
            message = f"{os.path.basename(paths[0])} is not installed: only one id can be mapped"
            return [Finding("newuidmap", WARNING, message, "sudo apt-get install -y uidmap")]
        if not _is_privileged(machine, path):
            bad.append(path)
    if bad:
        message = f"{' and '.join(bad)}: neither set-uid root nor with a file capability"
        return [Finding("newuidmap", WARNING, message, f"sudo chmod u+s {' '.join(bad)}")]
    return [Finding("newuidmap", OK, "installed, with the right to map")]


def _is_privileged(machine: Machine, path: str) -> bool:
    real = machine.root + path
    if os.stat(real).st_mode & stat.S_ISUID:
        return True
    try:
        return bool(os.getxattr(real, "security.capability"))
    except OSError:
        return False


def directory(machine: Machine) -> list[Finding]:
    """Where states are kept."""
    if not machine.rootless:
        return [Finding("state directory", OK, "/run/ociruntime")]
    place = os.environ.get("XDG_RUNTIME_DIR", "")
    if not place:
        message = "XDG_RUNTIME_DIR is not set: give --root to every command"
        cure = f"sudo loginctl enable-linger {identity(machine)[0]}".rstrip()
        return [Finding("state directory", WARNING, message, cure)]
    if machine.euid == os.geteuid() and not os.access(place, os.W_OK):
        message = f"XDG_RUNTIME_DIR={place} may not be written"
        cure = f"export XDG_RUNTIME_DIR=/run/user/{machine.euid}"
        return [Finding("state directory", FAILED, message, cure)]
    return [Finding("state directory", OK, f"{place}/ociruntime")]


def proc(machine: Machine) -> list[Finding]:
    """Whether a new /proc can be mounted in a user namespace."""
    if not machine.rootless:
        return []
    hidden = [
        line.split()[4]
        for line in machine.read("/proc/self/mountinfo").splitlines()
        if len(line.split()) > 4 and line.split()[4].startswith("/proc/")
    ]
    hidden = [path for path in hidden if path != "/proc/sys/fs/binfmt_misc"]
    if hidden:
        message = (
            f"{', '.join(hidden[:3])} of /proc is covered, as in a container: no new /proc can be "
            "mounted without rights"
        )
        return [Finding("proc", ABSENT, message)]
    return [Finding("proc", OK, "a new one can be mounted")]
