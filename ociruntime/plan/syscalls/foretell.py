"""Compiling the container's side of a plan, and making none of its system calls.

The steps of the host side are left out: what they would have opened has a name instead. Those of
the container's side are compiled by themselves, into programs that go nowhere; what such a step
asks for is answered as if all went well, and the step says so (``assumes``). Where the kind of a
bind mount's source or of a standard stream decides, this process looks at its own.
"""

from __future__ import annotations

import errno
from struct import pack_into

from ociruntime.errors import OciError
from ociruntime.kernel import constants as c
from ociruntime.kernel import program as p
from ociruntime.kernel.kernel import Kernel
from ociruntime.kernel.numbers import NUMBERS
from ociruntime.plan.syscalls.decode import Operation, operations
from ociruntime.plan.syscalls.notation import NAMED, Notation
from ociruntime.process.run import Run, hierarchy_fd
from ociruntime.process.spawn import spawn
from ociruntime.process.step import CONTAINER
from ociruntime.steps.cgroup import CreateCgroup
from ociruntime.steps.cgroup_mount import OpenCgroupSource, source_name
from ociruntime.steps.hooks import RunHook
from ociruntime.steps.mounts import OpenSource
from ociruntime.steps.spawn import Spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeVar

    from ociruntime.kernel.kernel import Argument, Stat
    from ociruntime.kernel.processes import Executable
    from ociruntime.process.patience import Patience
    from ociruntime.process.step import Step

    Found = TypeVar("Found")

# The directory that the container's first process is cloned into.
OWN_CGROUP = "cgroup"
DIRECTORY = c.S_IFDIR | 0o755
# In struct statx.
MODE_OFFSET = 28


class Foretold:
    """A step with its operations. ``assumes``: an answer was assumed; ``opaque`` is why it could
    not be compiled, "" when it was.
    """

    __slots__ = ("assumes", "opaque", "operations", "step")

    def __init__(self, step: Step) -> None:
        self.step = step
        self.operations: list[Operation] = []
        self.assumes = False
        self.opaque = ""


def foretell(steps: Sequence[Step]) -> tuple[list[Foretold], Notation]:
    """What oci-setup will carry out for ``steps``, and the names of the host's descriptors."""
    names = _Descriptors()
    kernel = _NoKernel(names, steps)
    run = Run(kernel, list(steps))
    run.fds = names
    nowhere = _Nowhere()
    run.connect = lambda: (nowhere, nowhere)  # type: ignore[return-value, assignment]
    told = []
    for step in steps:
        run.step = step
        if step.side != CONTAINER and not isinstance(step, Spawn):
            _leave_out(step, names)
            continue
        nowhere.begin(step)
        _compile(run, step, nowhere)
        told.append(nowhere.told)
    return told, Notation(names.known)


def _leave_out(step: Step, names: _Descriptors) -> None:
    """What later steps look for, and would not miss."""
    if isinstance(step, CreateCgroup):
        for place in step.placement.places:
            if place.key:
                names[hierarchy_fd(place.key)]
    elif isinstance(step, OpenCgroupSource):
        for item in step.hierarchies:
            names[source_name(step.pointer, item.key)]


def _compile(run: Run, step: Step, nowhere: _Nowhere) -> None:
    if isinstance(step, RunHook):
        nowhere.told.opaque = "a program of the host runs in the container"
        return
    try:
        if isinstance(step, Spawn):
            cgroups = [s for s in run.steps if isinstance(s, CreateCgroup)]
            into = any(s.placement.unified is not None for s in cgroups)
            cgroup = run.fds[OWN_CGROUP] if into else -1
            spawn(run, step.wanted(run), cgroup, lambda _: None)
        else:
            run.inner.step = step
            step.execute(run)
        if run.setup is not None:
            run.setup.carry_out()
    except (OSError, OciError) as error:
        nowhere.told.opaque = f"it cannot be told beforehand: {error}"


class _Descriptors(dict[str, int]):
    """Those of the host side, by name; each is a number that no descriptor has."""

    def __init__(self) -> None:
        super().__init__()
        self.known: list[str] = []

    def __missing__(self, name: str) -> int:
        self[name] = fd = NAMED + len(self.known)
        self.known.append(name)
        return fd


class _NoKernel(Kernel):
    """The host side's kernel: it only looks."""

    def __init__(self, names: _Descriptors, steps: Sequence[Step]) -> None:
        super().__init__()
        self._names = names
        self._real = Kernel()
        self._sources = {s.pointer: s for s in steps if isinstance(s, OpenSource)}

    def invoke(self, name: str, *args: Argument) -> int:
        if name in ("close", "fcntl", "prctl", "pidfd_send_signal", "pidfd_open"):
            return 0
        if name == "write" and isinstance(args[1], (bytes, bytearray)):
            return len(args[1])  # oci-init's block
        raise OSError(errno.ENOSYS, f"it depends on {name}(2) of the host")

    def start_program(self, _: Executable) -> tuple[int, int]:
        return 1, -1

    def wait_pidfd(self, _: int) -> tuple[int, int]:
        return 1, 0

    def has_ended(self, _: int) -> bool:
        return False

    def stat(self, fd: int, name: str = "", flags: int = 0) -> Stat:
        return self._looked_at(fd, lambda real: self._real.stat(real, name, flags))

    def filesystem(self, fd: int) -> int:
        return self._looked_at(fd, self._real.filesystem)

    def _looked_at(self, fd: int, look: Callable[[int], Found]) -> Found:
        if fd < NAMED:
            return look(fd)
        step = self._sources.get(self._names.known[fd - NAMED])
        if step is None:
            raise OSError(errno.ENOSYS, "it depends on what the host side opens")
        real = self._real.open(step.source, c.O_PATH)
        try:
            return look(real)
        finally:
            self._real.close(real)


class _Nowhere:
    """A channel whose other end says that all went well. It is both of its ends."""

    def __init__(self) -> None:
        self._answers: list[bytes] = []

    def begin(self, step: Step) -> None:
        """What is sent from now on is for ``step``."""
        self.told = Foretold(step)

    def send_program(self, program: bytes, _: Sequence[int] = ()) -> None:
        records = b""
        found = list(operations(program))
        for index, one in enumerate(found):
            if one.flags & p.WANTED:
                records += self._answer(index, one)
        self.told.operations += found
        self._answers.append(records + p.RECORD.pack(p.RECORD_DONE, 0, p.RECORD.size, 0, 0, 0))

    def _answer(self, index: int, one: Operation) -> bytes:
        text = bytearray(one.output_size)
        if one.flags & p.BYTES:
            text.clear()
        elif one.code == p.CALL and one.number == NUMBERS["statx"]:
            pack_into("=H", text, MODE_OFFSET, DIRECTORY)
        # setns and clone3 have no answer that changes what follows.
        if one.code != p.CLONE and one.number != NUMBERS["setns"]:
            self.told.assumes = True
        size = p.RECORD.size + len(text)
        record = p.RECORD.pack(p.RECORD_VALUE, 0, size, index, 0, 0) + text
        return record + bytes(-len(record) % 8)

    def receive(self) -> bytes:
        return self._answers.pop(0)

    def fileno(self) -> int:
        return -1

    def close(self) -> None:
        self._answers.clear()

    def watch(self, patience: Patience) -> None:
        pass
