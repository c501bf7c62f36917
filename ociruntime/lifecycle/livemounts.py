"""mounts add and remove: other mounts for a running container (crun's extension of the
specification).

A mount is opened on the host's side and attached by its descriptor, complete, as at `create`, and
by the same steps. Only the place is looked up in the container, which is hostile and runs: by a
process that has joined its user and mount namespaces, holds nothing of the host's but the mounts to
attach, and resolves every path in the root that is proven to be the container's.
"""

from __future__ import annotations

import errno
from functools import partial

from ociruntime import hostos as os
from ociruntime.errors import NOT_RUNNING, OciError, PlanError, StepError, WrongStatus
from ociruntime.jsontext import to_bytes
from ociruntime.kernel import constants as c
from ociruntime.kernel.inroot import InRoot, components, remove_stubs
from ociruntime.kernel.kernel import Kernel
from ociruntime.plan.host import read_host
from ociruntime.plan.mounts import CGROUP_TYPES, mount_steps
from ociruntime.plan.namespaces import NamespacePlan
from ociruntime.plan.step import HOST
from ociruntime.process.executor import explain
from ociruntime.process.init import freeze_imports
from ociruntime.process.run import Run
from ociruntime.spec import load
from ociruntime.spec.tables import NAMESPACES
from ociruntime.state import status as st
from ociruntime.state.processes import open_process
from ociruntime.steps.prepare import OpenRootfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, NoReturn

    from ociruntime.plan.step import Step
    from ociruntime.state.store import Container

    Entries = list[dict[str, Any]]

# In the container's state: what was added, and is there still.
ADDED = "added_mounts"
# What belongs to namespaces that only the container's own processes are in.
NOT_LATER = ("proc", *CGROUP_TYPES)
# Filesystems that are made in a further namespace of the container's.
MADE_IN = {"sysfs": "network", "mqueue": "ipc"}
LONGEST = 4096
STREAMS = 3


def add(container: Container, entries: Entries, source: str) -> list[str]:
    """Attach mounts (entries as config.json's) in their order; returns warnings.

    Parameters: the container is loaded and locked; ``source`` is what errors call the entries.
    Raises ``OciError``; nothing is mounted then.
    """
    warnings: list[str] = []
    opens, attach = add_steps(container, entries, source, warnings)
    kernel = Kernel()
    run = Run(kernel, [])
    before = os.umask(0)
    try:
        for step in opens:
            _execute(step, run)
        kinds = {entry.get("type") or "" for entry in entries}
        further = {MADE_IN[kind] for kind in kinds if kind in MADE_IN}
        work = partial(_attach, run, steps=attach)
        _in_container(container, kernel, further, work, list(run.fds.values()))
    finally:
        os.umask(before)
        run.close()
    container.data.setdefault(ADDED, []).extend(entries)
    container.save()
    return warnings + run.warnings


def add_steps(
    container: Container, entries: Entries, source: str, warnings: list[str]
) -> tuple[list[Step], list[Step]]:
    """What `add` does: (on the host's side, in the container)."""
    config = {**container.config(), "mounts": entries}
    raw = to_bytes(config)
    warnings += load(raw, config, source=source)
    for index, entry in enumerate(entries):
        kind = entry.get("type")
        if kind in NOT_LATER:
            raise PlanError(
                f"mounts[{index}] {entry['destination']}: a {kind} filesystem cannot be added to a "
                "running container",
                f"/mounts/{index}/type",
                "have it in config.json, or bind one",
            )
    host = read_host(Kernel())
    if not host.privileged:
        raise OciError("mounts: only root of the host can change a running container's mounts")
    _running(container)
    data = container.data
    spaces = NamespacePlan(config.get("linux") or {}, host)
    if not spaces.has("mount"):
        raise OciError(
            f"mounts: container {container.id} has no mount namespace of its own; "
            'create it with {"type": "mount"} in linux.namespaces'
        )
    opens, mounts, late = mount_steps(
        config, spaces, host, data["bundle"], data["rootfs"], warnings
    )
    # Sources are told from what lies in the root filesystem by that.
    early: list[Step] = [OpenRootfs(data["rootfs"], c.MS_SLAVE, HOST)]
    early += [step for step in opens if step.side == HOST]
    return early, [step for step in opens if step.side != HOST] + mounts + late


def remove(container: Container, entries: Entries) -> None:
    """Unmount what is on the destinations of ``entries``, the uppermost at each; in their order.

    The container is loaded and locked. Raises ``OciError`` at the first that cannot be unmounted.
    """
    host = read_host(Kernel())
    if not host.privileged:
        raise OciError("mounts: only root of the host can change a running container's mounts")
    _running(container)
    for entry in entries:
        destination: str = entry["destination"]
        _in_container(container, Kernel(), set(), partial(_unmount, destination=destination))
        _forget(container, destination)


def _forget(container: Container, destination: str) -> None:
    """Take the last mount on ``destination`` out of what was added."""
    added: Entries = container.data.get(ADDED, [])
    for index in reversed(range(len(added))):
        if components(added[index]["destination"]) == components(destination):
            del added[index]
            container.save()
            return


def _running(container: Container) -> None:
    word = st.status(container)
    if word in (st.STOPPED, st.CREATING):
        raise WrongStatus(f"{NOT_RUNNING}: {container.id} is {word}")


def _execute(step: Step, run: Run) -> None:
    try:
        step.execute(run)
    except OSError as error:
        raise explain(step, error) from None


class _Attached(InRoot):
    """The container's root; ``mounts`` are the places of what was attached, with its mount id."""

    __slots__ = ("mounts",)

    def __init__(self, kernel: Kernel, root: int) -> None:
        super().__init__(kernel, root)
        self.mounts: list[tuple[str, int]] = []

    def pin(self, destination: str, mount: int) -> None:
        self.mounts.append((destination, self.kernel.stat(mount).mount_id))
        super().pin(destination, mount)


def _attach(run: Run, inroot: _Attached, steps: list[Step]) -> None:
    """In the container: all of them, or none."""
    run.inroot = inroot
    try:
        for step in steps:
            _execute(step, run)
    except BaseException:
        for destination, mount in reversed(inroot.mounts):
            try:
                _unmount(inroot, destination, mount)
            except OciError:
                continue  # somebody in there was faster
        remove_stubs(inroot.kernel, inroot.root, inroot.made)
        raise


def _unmount(inroot: InRoot, destination: str, wanted: int = 0) -> None:
    """Unmount what is on ``destination``; with ``wanted`` only the mount of that id."""
    kernel = inroot.kernel
    label = f"unmounting {destination}"
    try:
        found = inroot.find(destination)
        try:
            stat = kernel.stat(found)
            if wanted and stat.mount_id != wanted:
                return
            if stat.kind == c.S_IFDIR:
                mounted = kernel.stat(found, "..").mount_id != stat.mount_id
                if not mounted:
                    raise StepError(label, errno.EINVAL, "nothing is mounted there")
                kernel.fchdir(found)
                kernel.unmount_here()
                return
        finally:
            kernel.close(found)
        _unmount_file(inroot, destination, stat.mount_id, label)
    except OSError as error:
        raise StepError(label, error.errno or 0, (error.strerror or "").lower()) from None


def _unmount_file(inroot: InRoot, destination: str, mount: int, label: str) -> None:
    """A file cannot be entered: it is unmounted by its name in its directory, which is one."""
    kernel = inroot.kernel
    *parents, name = components(destination)
    parent = inroot.open("/".join(parents) or "/", c.O_PATH | c.O_DIRECTORY)
    try:
        here = kernel.stat(parent, name)
        if here.mount_id != mount or here.mount_id == kernel.stat(parent).mount_id:
            raise StepError(label, errno.EINVAL, "nothing is mounted there")
        kernel.fchdir(parent)
        kernel.unmount_name(name)
    finally:
        kernel.close(parent)


def _in_container(
    container: Container,
    kernel: Kernel,
    further: set[str],
    work: Callable[[_Attached], None],
    kept: Sequence[int] = (),
) -> None:
    """Do ``work`` in a process that is in the container's mount namespace, in its user namespace
    and ``further`` ones, with no descriptors but ``kept``. Raises what that raises.
    """
    data = container.data
    pidfd = open_process(data["pid"], data["start_time"])
    if pidfd < 0:
        raise WrongStatus(f"{NOT_RUNNING}: {container.id} has just ended")
    reader, writer = os.pipe2(os.O_CLOEXEC)
    try:
        root = _root_of(kernel, container)
        # Nobody in there may look into the process that comes (CVE-2016-9962).
        kernel.prctl(c.PR_SET_DUMPABLE, 0)
        pid, child = kernel.clone(0)
        if pid == 0:
            _close_others(kernel, [*kept, pidfd, root, writer])
            _enter(container, kernel, (pidfd, root, writer), further, work)
        os.close(writer)
        writer = -1
        said = _read(reader)
        kernel.wait_pidfd(child)
        kernel.close(child)
        kernel.close(root)
    finally:
        for fd in (pidfd, reader, writer):
            if fd >= 0:
                os.close(fd)
    if said != b"\0":
        raise OciError(said.decode("utf-8", "replace") or "the process in the container has died")


def _read(fd: int) -> bytes:
    said = b""
    while part := os.read(fd, LONGEST):
        said += part
    return said


def _root_of(kernel: Kernel, container: Container) -> int:
    """The container's root directory, proven to be what `create` has noted."""
    data = container.data
    root = kernel.open(f"/proc/{data['pid']}/root", c.O_PATH | c.O_DIRECTORY)
    noted = data.get("root")
    found = kernel.stat(root)
    if noted and [*found.device, found.ino] != noted:
        kernel.close(root)
        raise OciError(
            f"container {container.id}: the root of its first process is not the one that it was "
            "created with"
        )
    return root


def _close_others(kernel: Kernel, kept: list[int]) -> None:
    """Close for real whatever else is open, the streams excepted."""
    first = STREAMS
    for fd in sorted(kept):
        if fd > first:
            kernel.close_from(first, fd - 1)
        first = max(first, fd + 1)
    kernel.close_from(first)


def _enter(
    container: Container,
    kernel: Kernel,
    fds: tuple[int, int, int],
    further: set[str],
    work: Callable[[_Attached], None],
) -> NoReturn:
    """The child."""
    pidfd, root, writer = fds
    said = b"?"
    try:
        freeze_imports()
        kernel.prctl(c.PR_SET_PDEATHSIG, c.SIGKILL)
        names = container.data.get("namespaces", ())
        joined = [name for name in ("mount", "user", *further) if name in names]
        flags = 0
        for name in joined:
            flags |= NAMESPACES[name]
        kernel.setns(pidfd, flags)
        if "user" in joined:
            if container.data.get("setgroups"):
                kernel.setgroups([])
            kernel.setresgid(0)
            kernel.setresuid(0)
            kernel.prctl(c.PR_SET_DUMPABLE, 0)
        work(_Attached(kernel, root))
        said = b"\0"
    except OciError as error:
        said = str(error).encode("utf-8", "backslashreplace")
    except OSError as error:
        said = f"entering the container: {(error.strerror or '').lower()}".encode()
    except BaseException as error:  # noqa: BLE001 - it is reported, and ends the process
        said = f"{type(error).__name__}: {error}".encode("utf-8", "backslashreplace")
    finally:
        os.write(writer, said[:LONGEST])
        os._exit(0)
