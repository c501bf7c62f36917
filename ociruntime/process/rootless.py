"""Id maps written by a caller who is not root of the host (user_namespaces(7), "Defining user and
group ID mappings").

The kernel lets anybody map his own id, one; the gid only once setgroups(2) has been given up for
good. Whoever has CAP_SETUID and CAP_SETGID in his own user namespace may map all that it has. For
everything else there are newuidmap(1) and newgidmap(1), which know what /etc/subuid and /etc/subgid
grant.
"""

from __future__ import annotations

import errno
import os

from ociruntime.errors import OciError, StepError
from ociruntime.kernel import constants as c
from ociruntime.kernel.kernel import Kernel
from ociruntime.kernel.signals import reset
from ociruntime.spec.idmaps import is_own_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    Mapping = tuple[int, int, int]

# Fixed places: a set-uid program is never looked up in the caller's PATH.
HELPERS = {
    "uid": ("/usr/bin/newuidmap", "/bin/newuidmap"),
    "gid": ("/usr/bin/newgidmap", "/bin/newgidmap"),
}
GRANTS = {"uid": "/etc/subuid", "gid": "/etc/subgid"}
# More than any message of the helpers (bytes).
TAIL = 1024
CANNOT_RUN = 127


def write_map(kernel: Kernel, pid: int, kind: str, maps: list[Mapping]) -> None:
    """Write the ``kind`` ("uid" or "gid") map of the user namespace that process ``pid`` has made.

    Parameters: ``maps`` are (container id, host id, size). A single mapping of the caller's own gid
    gives up setgroups(2) in that namespace; all other maps leave it alone. Raises ``StepError``
    naming the property and what has to be granted, by whom.
    """
    label = f"linux.{kind}Mappings"
    own = os.geteuid() if kind == "uid" else os.getegid()
    single = is_own_id(maps, own)
    text = "".join(f"{inside} {outside} {size}\n" for inside, outside, size in maps)
    try:
        if single and kind == "gid":
            _write(kernel, f"/proc/{pid}/setgroups", "deny")
        _write(kernel, f"/proc/{pid}/{kind}_map", text)
    except OSError as error:
        if error.errno == errno.EPERM:
            _check_own_map(kernel, kind, maps)
        if error.errno != errno.EPERM or single:
            raise StepError(label, error.errno or 0, _why(error.errno or 0)) from None
        _run_helper(pid, kind, maps)


def _check_own_map(kernel: Kernel, kind: str, maps: list[Mapping]) -> None:
    """Name the first range that our own user namespace does not have: nobody can map that one."""
    fd = kernel.open(f"/proc/self/{kind}_map", c.O_RDONLY)
    lines = kernel.read(fd, 16384).decode().splitlines()
    kernel.close(fd)
    have = [(int(first), int(first) + int(size)) for first, _, size in map(str.split, lines)]
    for mapping in maps:
        _, first, size = mapping
        if not any(start <= first and first + size <= end for start, end in have):
            ours = ", ".join(f"{start}-{end - 1}" for start, end in have) or "none"
            raise OciError(
                f"linux.{kind}Mappings: {kind} {_ranges([mapping])} is not mapped in the caller's "
                f"own user namespace (it has {ours}); use these as hostID, or map more there"
            )


def _write(kernel: Kernel, path: str, text: str) -> None:
    fd = kernel.open(path, c.O_WRONLY)
    try:
        kernel.write(fd, text.encode())
    finally:
        kernel.close(fd)


def _why(number: int) -> str:
    return {
        errno.EPERM: "the kernel or its security module forbids user namespaces to this caller",
        errno.EINVAL: "the kernel refuses the ranges; they overlap, or there are more than 340",
    }.get(number, "")


def _run_helper(pid: int, kind: str, maps: list[Mapping]) -> None:
    """Have the set-uid helper write the map; its words become the error's."""
    label = f"linux.{kind}Mappings"
    name = f"new{kind}map"
    program = next((path for path in HELPERS[kind] if os.access(path, os.X_OK)), None)
    if program is None:
        from ociruntime.absence import any_denied

        denied = any_denied(list(HELPERS[kind]))
        if denied:
            raise OciError(
                f"{label}: ids of others need {name}, and {denied} may not be executed: permission "
                "denied; let this user execute it"
            )
        raise OciError(
            f"{label}: ids of others need {name}, which is not installed; install Debian's uidmap, "
            f"or map only {kind} {os.geteuid() if kind == 'uid' else os.getegid()}, with size 1"
        )
    arguments = [program, str(pid)]
    for mapping in maps:
        arguments += map(str, mapping)
    status, said = _output_of(program, arguments)
    if status:
        said = " | ".join(said.strip().splitlines()) or f"it exited with status {status}"
        raise OciError(
            f"{label}: {name}: {said}; {GRANTS[kind]} must grant uid {os.getuid()} every range "
            f"({_ranges(maps)}), and {name} must be set-uid root or have the file capability"
        )


def _ranges(maps: list[Mapping]) -> str:
    return ", ".join(
        str(outside) if size == 1 else f"{outside}-{outside + size - 1}"
        for _, outside, size in maps
    )


def _output_of(program: str, arguments: list[str]) -> tuple[int, str]:
    """Run ``program`` without environment; its exit status (128 + n for signal n) and what it
    wrote.
    """
    output, theirs = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        _become(program, arguments, theirs)
    os.close(theirs)
    said = b""
    while part := os.read(output, 4096):
        said = (said + part)[-TAIL:]
    os.close(output)
    _, result = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(result)
    return (code if code >= 0 else 128 - code), said.decode("utf-8", "replace")


def _become(program: str, arguments: list[str], output: int) -> NoReturn:
    """The helper's process between fork and exec: no import, no allocation worth mentioning."""
    try:
        reset(Kernel())
        null = os.open("/dev/null", os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        os.execve(program, arguments, {})  # noqa: S606
    except OSError as error:
        os.write(2, f"cannot be run: {os.strerror(error.errno or 0).lower()}".encode())
    os._exit(CANNOT_RUN)
