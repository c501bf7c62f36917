"""mounts add and remove: other mounts for a running container (crun's extension of the
specification).

A mount is opened on the host's side and attached by its descriptor, complete, as at `create`, and
by the same steps. Only the place is looked up in the container, which is hostile and runs: by a
process that has joined its user and mount namespaces, holds nothing of the host's but the mounts to
attach, and resolves every path in the root that is proven to be the container's.
"""

from __future__ import annotations

import errno

from ociruntime import hostos as os
from ociruntime.errors import NOT_RUNNING, OciError, StepError, WrongStatus
from ociruntime.jsontext import to_bytes
from ociruntime.kernel import constants as c
from ociruntime.kernel.inroot import InRoot, components, remove_stubs
from ociruntime.kernel.kernel import Kernel
from ociruntime.kernel.pids import open_process
from ociruntime.plan.host import read_host
from ociruntime.plan.livemounts import build
from ociruntime.process.beside import Beside
from ociruntime.process.channel import Closed
from ociruntime.process.executor import explain
from ociruntime.process.run import Run
from ociruntime.spec import load
from ociruntime.spec.tables import NAMESPACES
from ociruntime.state import status as st

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ociruntime.kernel.inside import Inside
    from ociruntime.kernel.stubs import Stub
    from ociruntime.plan.host import Host
    from ociruntime.process.step import Step
    from ociruntime.spec.documents import MountConfig
    from ociruntime.state.store import Container

    Entries = list[MountConfig]

# Filesystems that are made in a further namespace of the container's.
MADE_IN = {"sysfs": "network", "mqueue": "ipc"}
ENTERING = "entering the container"
OTHER = "what is there is not what was added, or something is mounted over it"
LINK = "a symlink leads there, which may be the container's doing; name the place itself"


def add(container: Container, entries: Entries, source: str) -> list[str]:
    """Attach mounts (entries as config.json's) in their order; returns warnings.

    Parameters: the container is loaded and locked; ``source`` is what errors call the entries.
    Raises ``OciError``; nothing is mounted then.
    """
    warnings: list[str] = []
    opens, attach = plan(container, entries, source, warnings)
    kernel = Kernel()
    run = Run(kernel, [])
    before = os.umask(0)
    try:
        for step in opens:
            _execute(step, run)
        kinds = {entry.get("type") or "" for entry in entries}
        further = {MADE_IN[kind] for kind in kinds if kind in MADE_IN}
        fds = list(run.fds.values())
        places = _in_container(
            container,
            kernel,
            further,
            lambda inside: _attach(run, inside, attach),
            fds,
            run.stubs,
        )
    finally:
        os.umask(before)
        run.close()
    container.data.setdefault("added_mounts", []).extend(entries)
    container.data.setdefault("added_places", []).extend(places)
    container.save()
    return warnings + run.warnings


def plan(
    container: Container, entries: Entries, source: str, warnings: list[str]
) -> tuple[list[Step], list[Step]]:
    """What `add` does: (on the host's side, in the container). Raises ``OciError``."""
    config = container.config().copy()
    config["mounts"] = entries
    warnings += load(to_bytes(config), config, source=source)
    host = read_host(Kernel())
    _check(container, host)
    return build(container, config, host, warnings)


def remove(container: Container, entries: Entries) -> None:
    """Unmount what is on the destinations of ``entries``, the uppermost at each; in their order.

    What `add` has mounted is known by its id. Else a destination is taken as it is, without
    symlinks: one in the container would choose what goes, a mask or a read-only path, too. The
    container is loaded and locked. Raises ``OciError`` at the first that cannot be unmounted.
    """
    _check(container, read_host(Kernel()))
    for entry in entries:
        _remove(container, entry["destination"])


def _remove(container: Container, destination: str) -> None:
    mounts, places = container.data.get("added_mounts", []), container.data.get("added_places", [])
    at = _last([where for where, _ in places], destination)
    wanted = places[at][1] if at >= 0 else 0
    _in_container(
        container, Kernel(), set(), lambda inside: _unmount(inside, destination, wanted)
    )
    if at >= 0:
        del places[at]
    at = _last([entry["destination"] for entry in mounts], destination)
    if at >= 0:
        del mounts[at]
    container.save()


def _last(destinations: list[str], destination: str) -> int:
    """The index of the last one that is the same as ``destination``; -1 for none."""
    place = components(destination)
    found = [index for index, each in enumerate(destinations) if components(each) == place]
    return found[-1] if found else -1


def _check(container: Container, host: Host) -> None:
    """Whether this caller can change this container's mounts."""
    if not host.privileged:
        raise OciError("mounts: only root of the host can change a running container's mounts")
    word = st.status(container)
    if word in (st.STOPPED, st.CREATING):
        raise WrongStatus(f"{NOT_RUNNING}: {container.id} is {word}")


def _execute(step: Step, run: Run) -> None:
    try:
        step.execute(run)
        if run.setup is not None:
            run.setup.carry_out()
    except OSError as error:
        raise explain(step, error) from None


class _Attached(InRoot):
    """The container's root; ``mounts`` are (destination, mount id) of what was attached."""

    __slots__ = ("mounts",)

    def __init__(self, kernel: Inside, root: int) -> None:
        super().__init__(kernel, root)
        self.mounts: list[tuple[str, int]] = []

    def pin(self, destination: str, mount: int, *, of_kernel: bool) -> None:
        self.mounts.append((destination, self.kernel.stat(mount).mount_id))
        super().pin(destination, mount, of_kernel=of_kernel)


def _attach(run: Run, inroot: _Attached, steps: list[Step]) -> None:
    """In the container: all of them, or none."""
    run.inroot = inroot
    run.setup = inroot.kernel
    try:
        for step in steps:
            inroot.kernel.step = step
            _execute(step, run)
    except BaseException:
        for destination, mount in reversed(inroot.mounts):
            try:
                _unmount(inroot, destination, mount)
            except OciError:
                continue  # somebody in there was faster
        remove_stubs(inroot.kernel, inroot.root, run.stubs)
        raise


def _unmount(inroot: InRoot, destination: str, wanted: int) -> None:
    """Unmount what is on ``destination``: the mount ``wanted``, or with 0 whatever it is, but not
    through a symlink.
    """
    kernel = inroot.kernel
    label = f"unmounting {destination}"
    resolve = 0 if wanted else c.RESOLVE_NO_SYMLINKS
    try:
        with kernel.at_once():
            found = inroot.open(destination, c.O_PATH, resolve)
            stat = kernel.stat(found)
            if wanted and stat.mount_id != wanted:
                raise StepError(label, errno.EINVAL, OTHER)
            if stat.kind == c.S_IFDIR:
                mounted = kernel.stat(found, "..").mount_id != stat.mount_id
                if not mounted:
                    raise StepError(label, errno.EINVAL, "nothing is mounted there")
                kernel.fchdir(found)
                kernel.unmount_here()
            else:
                _unmount_file(inroot, destination, stat.mount_id, label, resolve)
    except OSError as error:
        why = LINK if error.errno == errno.ELOOP else (error.strerror or "").lower()
        raise StepError(label, error.errno or 0, why) from None


def _unmount_file(
    inroot: InRoot, destination: str, mount: int, label: str, resolve: int
) -> None:
    """A file cannot be entered: it is unmounted by its name in its directory, which is one."""
    kernel = inroot.kernel
    *parents, name = components(destination)
    parent = inroot.open("/".join(parents) or "/", c.O_PATH | c.O_DIRECTORY, resolve)
    here = kernel.stat(parent, name)
    if here.mount_id != mount or here.mount_id == kernel.stat(parent).mount_id:
        raise StepError(label, errno.EINVAL, "nothing is mounted there")
    kernel.fchdir(parent)
    kernel.unmount_name(name)
    kernel.close(parent)


def _in_container(
    container: Container,
    kernel: Kernel,
    further: set[str],
    work: Callable[[_Attached], None],
    kept: Sequence[int] = (),
    made: list[Stub] | None = None,
) -> list[tuple[str, int]]:
    """Do ``work`` by a process that is in the container's mount namespace, in its user namespace
    and ``further`` ones, with no descriptors but ``kept``; ``made`` is told what it makes there.
    Returns (destination, mount id) of what it has attached; raises what ``work`` raises.
    """
    data = container.data
    pidfd = open_process(data["pid"], data["start_time"])
    if pidfd < 0:
        raise WrongStatus(f"{NOT_RUNNING}: {container.id} has just ended")
    root = -1
    try:
        root = _root_of(kernel, container)
        names = data.get("namespaces", ())
        joined = [name for name in ("mount", "user", *further) if name in names]
        flags = 0
        for name in joined:
            flags |= NAMESPACES[name]
        entered = [(ENTERING, flags, pidfd)]
        with Beside(kernel, [*kept, pidfd, root], entered, made, container) as inner:
            inner.close(pidfd)
            if "user" in joined:
                if data.get("setgroups"):
                    inner.call("setgroups", 0, None)
                inner.setresgid(0)
                inner.setresuid(0)
                inner.prctl(c.PR_SET_DUMPABLE, 0)
                # Changing ids has cleared it (prctl(2)).
                inner.prctl(c.PR_SET_PDEATHSIG, c.SIGKILL)
            inside = _Attached(inner, root)
            work(inside)
            inner.carry_out()
            return inside.mounts
    except OSError as error:
        raise OciError(f"{ENTERING}: {(error.strerror or '').lower()}") from None
    except Closed:
        raise OciError("the process in the container has died") from None
    finally:
        for fd in (pidfd, root):
            if fd >= 0:
                os.close(fd)


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
