"""Whether what CRIU has made is what the configuration says.

The images decide what the processes are, and anybody may have written them. So before these go on
it is looked at, in the kernel, what they would be able to do: no more than those of a container
that `create` has made of this configuration.
"""

from __future__ import annotations

from ociruntime import hostos as os
from ociruntime.checkpoint.externals import MountTable, found_stat, root_of
from ociruntime.errors import OciError
from ociruntime.kernel import constants as c
from ociruntime.plan.seccomp import has_filter
from ociruntime.process.step import Step
from ociruntime.spec.tables import CAPABILITIES, NAMESPACE_FILES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ociruntime.kernel.inroot import HostRoot
    from ociruntime.kernel.kernel import Kernel
    from ociruntime.process.run import Run
    from ociruntime.spec.documents import Config, ProcessConfig


SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
UNCONFINED = "unconfined"
FILTERED = "2"  # proc_pid_status(5), Seccomp
ATTRIBUTES = {
    "ro": c.MOUNT_ATTR_RDONLY,
    "nosuid": c.MOUNT_ATTR_NOSUID,
    "nodev": c.MOUNT_ATTR_NODEV,
    "noexec": c.MOUNT_ATTR_NOEXEC,
}


class VerifyMounts(Step):
    """Prove that mounts, masks and read-only paths are as the configuration has them.

    A container that may mount, because it has CAP_SYS_ADMIN, may have changed them itself.

    Parameters: ``places`` are (destination, MOUNT_ATTR_* flags) of the mounts.
    """

    __slots__ = ("config", "places")

    kind = "verify-mounts"
    stage = "finish"

    def __init__(self, config: Config, places: list[tuple[str, int]]) -> None:
        super().__init__("/mounts", "restored mounts")
        self.config = config
        self.places = places

    def describe(self) -> str:
        return "prove that read-only mounts are that, and that masks cover what they shall"

    def operands(self) -> dict[str, object]:
        return {"places": [place for place, _ in self.places]}

    def execute(self, run: Run) -> None:
        if "CAP_SYS_ADMIN" in allowed_names(self.config):
            return
        kernel = run.kernel
        table = MountTable.of(kernel, run.pid)
        inroot = root_of(kernel, run.pid)
        linux = self.config.get("linux") or {}
        try:
            readonly = (self.config.get("root") or {}).get("readonly")
            places = [("/", c.MOUNT_ATTR_RDONLY if readonly else 0), *self.places]
            places += ((path, c.MOUNT_ATTR_RDONLY) for path in linux.get("readonlyPaths") or ())
            for place, attributes in places:
                self._require(inroot, table, place, attributes)
            self._require_elsewhere(inroot, table, places)
            for path in linux.get("maskedPaths") or ():
                self._require_mask(inroot, path)
        finally:
            kernel.close(inroot.root)

    def _require(self, inroot: HostRoot, table: MountTable, place: str, attributes: int) -> None:
        found = found_stat(inroot, place)
        if found is None:
            return
        has = table.points.get(found.mount_id, ("", frozenset()))[1]
        for word, flag in ATTRIBUTES.items():
            if attributes & flag and word not in has:
                raise OciError(
                    f"restore: {place} is not {word} in the checkpoint, but in the configuration; "
                    "the processes were killed"
                )

    @staticmethod
    def _require_elsewhere(
        inroot: HostRoot, table: MountTable, places: list[tuple[str, int]]
    ) -> None:
        """Nothing that is read-only where the configuration has it may be written by a mount that
        it does not have.
        """
        configured: dict[int, tuple[str, int]] = {}
        for place, attributes in places:
            found = found_stat(inroot, place)
            if found is not None:
                configured[found.mount_id] = place, attributes & c.MOUNT_ATTR_RDONLY
        # What lies below another mount at the same point cannot be reached.
        points = {table.points[mount][0] for mount in configured if mount in table.points}
        for mount, (point, has) in table.points.items():
            if point in points or "ro" in has:
                continue
            shown = table.shown[mount]
            of = [
                (place, readonly)
                for other, (place, readonly) in configured.items()
                if other in table.shown and _overlap(shown, table.shown[other])
            ]
            if of and all(readonly for _, readonly in of):
                raise OciError(
                    f"restore: {point} is a mount of the checkpoint and none of the configuration, "
                    f"and what is read-only at {of[0][0]} could be written there; "
                    "the processes were killed"
                )

    def _require_mask(self, inroot: HostRoot, path: str) -> None:
        found = found_stat(inroot, path)
        if found is None or found.is_device(c.S_IFCHR, 1, 3):
            return
        fd = inroot.find(path)
        try:
            masked = found.kind == c.S_IFDIR and inroot.kernel.filesystem(fd) == c.TMPFS_MAGIC
        finally:
            inroot.kernel.close(fd)
        if not masked:
            raise OciError(
                f"restore: linux.maskedPaths {path} is not masked in the checkpoint; "
                "the processes were killed"
            )


def _overlap(one: tuple[str, str], other: tuple[str, str]) -> bool:
    """Whether two mounts show something in common: of one file system, one path within another."""
    if one[0] != other[0]:
        return False
    first, second = (path.rstrip("/") + "/" for path in (one[1], other[1]))
    return first.startswith(second) or second.startswith(first)


def verify_processes(run: Run, config: Config, *, confined: bool = True) -> None:
    """Raise ``OciError`` for a process that has more rights than the configuration gives.

    ``confined`` is false where the caller has chosen another label (--lsm-profile).
    """
    for pid in processes_of(run):
        try:
            _verify_process(run.kernel, pid, config)
            if confined:
                _verify_label(run.kernel, pid, config.get("process") or {})
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended


def processes_of(run: Run) -> list[int]:
    """The restored processes: the first one, and all that are in its mount namespace and in the
    container's cgroup, where CRIU is, too.
    """
    found = run.cgroup.all_procs() if run.cgroup is not None else []
    own = _namespace(run.pid)
    return sorted({run.pid, *(pid for pid in found if _namespace(pid) == own)})


def _namespace(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/mnt")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _verify_process(kernel: Kernel, pid: int, config: Config) -> None:
    status = status_of(kernel, pid)
    process = config.get("process") or {}
    linux = config.get("linux") or {}
    allowed = 0
    for name in allowed_names(config):
        allowed |= 1 << CAPABILITIES.get(name, 63)
    for name in SETS:
        extra = int(status.get(name, "0"), 16) & ~allowed
        if extra:
            words = ", ".join(word for word, bit in CAPABILITIES.items() if extra >> bit & 1)
            raise _refused(pid, f"has capabilities beyond the configuration's: {words}")
    if process.get("noNewPrivileges") and status.get("NoNewPrivs") != "1":
        raise _refused(pid, "is without no_new_privs, which the configuration sets")
    if has_filter(config) and status.get("Seccomp") != FILTERED:
        raise _refused(pid, "has no seccomp filter, which the configuration sets")
    for entry in linux.get("namespaces") or ():
        file = NAMESPACE_FILES[entry["type"]]
        if os.readlink(f"/proc/{pid}/ns/{file}") == os.readlink(f"/proc/self/ns/{file}"):
            if entry["type"] == "cgroup" or entry.get("path"):
                continue
            raise _refused(pid, f"is in the host's {entry['type']} namespace")


def _verify_label(kernel: Kernel, pid: int, process: ProcessConfig) -> None:
    wanted = process.get("apparmorProfile") or process.get("selinuxLabel")
    if not wanted or wanted == UNCONFINED:
        return
    fd = kernel.open(f"/proc/{pid}/attr/current", c.O_RDONLY)
    try:
        text = kernel.read_whole(fd)
    finally:
        kernel.close(fd)
    if is_unconfined(text):
        raise _refused(pid, f"is not confined, and the configuration confines it by {wanted}")


def is_unconfined(text: bytes) -> bool:
    """Whether that is the content of attr/current of a process without a profile."""
    return text.strip(b"\0\n ").partition(b" ")[0] in (b"", UNCONFINED.encode())


def _refused(pid: int, what: str) -> OciError:
    return OciError(f"restore: process {pid} of the checkpoint {what}; it was killed")


def allowed_names(config: Config) -> set[str]:
    """All capabilities that a process of the container may come to have."""
    sets: Mapping[str, Any] = (config.get("process") or {}).get("capabilities") or {}
    return {name for names in sets.values() for name in names or ()}


def status_of(kernel: Kernel, pid: int) -> dict[str, str]:
    """/proc/PID/status."""
    fd = kernel.open(f"/proc/{pid}/status", c.O_RDONLY)
    try:
        text = kernel.read_whole(fd).decode("utf-8", "surrogateescape")
    finally:
        kernel.close(fd)
    pairs = (line.partition(":") for line in text.split("\n"))
    return {name: value.strip() for name, _, value in pairs}
