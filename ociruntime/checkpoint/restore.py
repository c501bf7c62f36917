"""The steps of restore that are CRIU's work. CRIU is one process from the first of them to the
last, and waits in between while other steps of the plan are executed.
"""

from __future__ import annotations

from ociruntime import hostos as os
from ociruntime.checkpoint import directory
from ociruntime.checkpoint import messages as m
from ociruntime.checkpoint.dump import common, over, refused
from ociruntime.checkpoint.program import FIRST_FD, Conversation, Criu, CriuError
from ociruntime.checkpoint.stage import ROOT
from ociruntime.checkpoint.streams import FILE, STREAMS, handed_in, keys_in
from ociruntime.checkpoint.verify import verify_processes
from ociruntime.kernel import constants as c
from ociruntime.kernel.sockets import send_fd
from ociruntime.process.beside import Beside
from ociruntime.process.run import CONSOLE_FD, namespace_fd
from ociruntime.process.spawn import end_process
from ociruntime.process.step import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ociruntime.checkpoint.options import RestoreOptions
    from ociruntime.checkpoint.stage import Stage
    from ociruntime.process.run import Run
    from ociruntime.spec.documents import Config

LOG = "restore.log"
# What CRIU announces: the namespaces exist; everything is restored, and can still be taken back;
# the processes are what they will be.
NAMESPACES, RESTORED, RESUMING = "setup-namespaces", "post-restore", "pre-resume"
# Of a request, in the order of their descriptors.
DIRECTORIES = ("images_dir_fd", "work_dir_fd")
TERMINAL = "orphan-pts-master"
MASTER = b"/dev/pts/ptmx"


class Restoration:
    """What the steps share: the options, and CRIU once it runs.

    ``images`` and ``work`` are descriptors of the directories, -1 before they are open.
    """

    __slots__ = ("conversation", "criu", "given", "images", "request", "wanted", "work")

    def __init__(self, wanted: RestoreOptions, given: str | None, request: dict[str, Any]) -> None:
        self.wanted = wanted
        self.given = given
        self.request = request
        self.images = self.work = -1
        self.criu: Criu | None = None
        self.conversation: Conversation | None = None

    def wait_for(self, run: Run, script: str) -> None:
        """Let CRIU go on until it announces ``script``, or has answered (an empty one)."""
        conversation = self.conversation
        assert conversation is not None
        try:
            self._follow(run, conversation, script)
        except CriuError as error:
            raise refused("restore", str(error), self.work, LOG, self.wanted) from None

    def _follow(self, run: Run, conversation: Conversation, script: str) -> None:
        while True:
            answer, fds = conversation.receive()
            if answer["type"] != m.NOTIFY:
                if not answer["success"]:
                    raise CriuError(answer["cr_errmsg"])
                if script:
                    raise CriuError(f"it has restored something without saying {script}")
                return
            notified = answer["notify"] or {"script": "", "pid": 0}
            if notified["script"] in (NAMESPACES, RESTORED) and notified["pid"]:
                self._meet(run, notified["pid"])
            if notified["script"] == TERMINAL and fds:
                self._hand_over(run, fds)
            for fd in fds:
                os.close(fd)
            if notified["script"] == script:
                return
            conversation.acknowledge()

    @staticmethod
    def _meet(run: Run, pid: int) -> None:
        """The container's first process exists: our child (rst_sibling), so the number is its."""
        if run.pid != pid:
            if run.pidfd >= 0:
                run.kernel.close(run.pidfd)
            run.pid, run.pidfd = pid, run.kernel.pidfd_open(pid)

    @staticmethod
    def _hand_over(run: Run, fds: list[int]) -> None:
        """Send the master of the terminal, which CRIU has made, to who waits for it."""
        console = run.fds.pop(CONSOLE_FD, -1)
        if console >= 0:
            run.lent = -1 if run.lent == console else run.lent
            send_fd(console, fds[0], MASTER)

    def reopen(self, run: Run, stage: Stage) -> list[int]:
        """The two directories, as CRIU's mount namespace has them: it mounts something in there."""
        kernel = run.kernel
        images, work = self.wanted.image_path, self.wanted.work_path or self.wanted.image_path
        found = [
            directory.open_existing(images, "image-path"),
            directory.open_existing(work, "work-path", follow=True),
        ]
        for path, fd, ours in zip((images, work), found, (self.images, self.work), strict=True):
            here, there = kernel.stat(fd), kernel.stat(ours)
            if (here.ino, here.device) != (there.ino, there.device):
                raise CriuError(f"{path}: it was exchanged while it was opened")
        return [stage.open_images(kernel, found[0], images), found[1]]

    def end(self) -> None:
        """Be done with CRIU, and with the directories."""
        if self.conversation is not None:
            self.conversation.end()
            self.conversation = None
        for fd in {self.images, self.work} - {-1}:
            os.close(fd)
        self.images = self.work = -1


class OpenCheckpoint(Step):
    """Find CRIU, and open the directory of the images, in which nothing may lead elsewhere."""

    __slots__ = ("config", "path", "restoration", "work")

    kind = "open-checkpoint"

    def __init__(self, restoration: Restoration, config: Config) -> None:
        super().__init__("", "restore")
        self.restoration = restoration
        self.config = config
        self.path = restoration.wanted.image_path
        self.work = restoration.wanted.work_path

    def describe(self) -> str:
        return f"find CRIU and open the checkpoint {self.path}"

    def operands(self) -> dict[str, object]:
        return {"path": self.path, "work": self.work}

    def execute(self, run: Run) -> None:
        from ociruntime.checkpoint.program import find

        restoration = self.restoration
        assert run.container is not None
        restoration.criu = Criu(find(restoration.given), run.container.store.root)
        restoration.criu.require_kept(self.config)
        if restoration.wanted.lazy_pages:
            restoration.criu.require(lazy_pages=True)
        restoration.images = directory.open_existing(self.path, "image-path")
        restoration.work = restoration.images
        directory.check(restoration.images, self.path)
        if self.work is not None:
            restoration.work = directory.make(self.work, "work-path", follow=True)
        run.host_fds += [restoration.images, restoration.work]

    def undo(self, run: Run) -> None:
        self.restoration.end()


class StartCriu(Step):
    """Start CRIU in the container's cgroup and in a mount namespace of its own, and let it work
    until the container's namespaces exist.

    ``preserved`` descriptors from 3 on take the place of those that were handed in at create.
    """

    __slots__ = ("preserved", "restoration", "stage_")

    kind = "start-criu"
    stage = "spawn"

    def __init__(self, restoration: Restoration, stage: Stage, preserved: int) -> None:
        super().__init__("", "restore")
        self.restoration = restoration
        self.stage_ = stage
        self.preserved = preserved

    def describe(self) -> str:
        return "start CRIU, and have it make the namespaces and their first process"

    def operands(self) -> dict[str, object]:
        return {"mounts": self.stage_.map()}

    def execute(self, run: Run) -> None:
        restoration, stage = self.restoration, self.stage_
        assert restoration.criu is not None
        assert run.container is not None
        streams = [*(run.streams or range(STREAMS)), *range(STREAMS, STREAMS + self.preserved)]
        keys = keys_in(restoration.images, len(streams))
        first = FIRST_FD + len(DIRECTORIES)
        given = handed_in(keys, streams)
        handed = list(given.values())
        inherited = [{"key": key, "fd": first + number} for number, key in enumerate(given)]
        for name, key in sorted(_joined(run).items()):
            inherited.append({"key": key, "fd": first + len(handed)})
            handed.append(run.fds[name])

        def prepare() -> list[int]:
            stage.prepare(run)
            return restoration.reopen(run, stage)

        cgroup_fd = run.cgroup.open_for_clone() if run.cgroup else -1
        conversation = restoration.conversation = Conversation(
            restoration.criu.path,
            handed,
            before=prepare,
            clone=lambda: run.kernel.clone(0, cgroup_fd)[0],
            over=over("restore", run.container),
        )
        run.pid = conversation.pid
        opts = {
            **restoration.wanted.for_version(restoration.criu.version),
            **common(restoration.work, LOG),
            **{name: FIRST_FD + number for number, name in enumerate(DIRECTORIES)},
            **restoration.request,
            "root": stage.path(ROOT),
            "ext_mnt": stage.map(),
            "external": [key for key in given if key.startswith(FILE)],
            "inherit_fd": inherited,
            "cg_root": _cgroups_of(run, conversation.pid),
            "rst_sibling": True,
            "evasive_devices": True,
            # A file that is handed in for another has an owner's permissions of its own.
            "skip_file_rwx_check": any(key.startswith(FILE) for key in given),
        }
        conversation.send({"type": m.RESTORE, "opts": opts})
        restoration.wait_for(run, NAMESPACES)

    def undo(self, run: Run) -> None:
        # First the processes are killed: at the end CRIU would let them run when its socket is
        # closed. They are gone when it is, for it traces them.
        if run.pidfd >= 0:
            try:
                run.kernel.pidfd_send_signal(run.pidfd, c.SIGKILL)
            except ProcessLookupError:
                pass
        if self.restoration.conversation is not None:
            self.restoration.conversation.end()
            self.restoration.conversation = None
        if run.pidfd >= 0:
            end_process(run)


class RestoreProcesses(Step):
    """Let CRIU make everything, up to the moment in which the processes would go on."""

    __slots__ = ("ready", "restoration")

    kind = "restore-processes"
    stage = "process"

    def __init__(self, restoration: Restoration, ready: Callable[[], None] | None) -> None:
        super().__init__("", "restore")
        self.restoration = restoration
        self.ready = ready

    def describe(self) -> str:
        return "have CRIU restore mounts, files, memory and processes, which do not run yet"

    def operands(self) -> dict[str, object]:
        return {}

    def execute(self, run: Run) -> None:
        assert self.restoration.conversation is not None
        self.restoration.conversation.acknowledge()
        self.restoration.wait_for(run, RESTORED)
        if self.ready is not None:
            self.ready()


class NoteClocks(Step):
    """Have `exec` join the time namespace that CRIU makes, so that the clocks go on where they
    were for whoever comes later, too (time_namespaces(7)).
    """

    __slots__ = ()

    kind = "note-clocks"
    stage = "process"

    def __init__(self) -> None:
        super().__init__("", "restore")

    def describe(self) -> str:
        return "note the time namespace in which the restored clocks go on"

    def operands(self) -> dict[str, object]:
        return {}

    def execute(self, run: Run) -> None:
        assert run.container is not None
        data = run.container.data
        own, theirs = (os.readlink(f"/proc/{who}/ns/time") for who in ("self", run.pid))
        if own != theirs and "time" not in data["namespaces"]:
            data["namespaces"].append("time")


class Reach(Step):
    """Execute a step of the container's side in its network namespace, by a process of its own.

    CRIU leaves a new network namespace as the kernel makes it: without its loopback device, too.
    """

    __slots__ = ("step",)

    kind = "reach-network"
    stage = "process"

    def __init__(self, step: Step) -> None:
        super().__init__(step.pointer, step.label)
        self.step = step

    def describe(self) -> str:
        return self.step.describe()

    def operands(self) -> dict[str, object]:
        return {}

    def execute(self, run: Run) -> None:
        joined = [(self.label, c.CLONE_NEWNET, run.pidfd)]
        with Beside(run.kernel, [run.pidfd], joined) as run.setup:
            run.setup.step = self.step
            self.step.execute(run)
            run.setup.carry_out()
        run.setup = None

    def explain(self, number: int) -> str:
        return self.step.explain(number)


class LetRun(Step):
    """Let the restored processes go on, unless they could do more than ``config`` allows, and see
    CRIU's end.
    """

    __slots__ = ("config", "restoration")

    kind = "let-run"
    stage = "finish"

    def __init__(self, restoration: Restoration, config: Config) -> None:
        super().__init__("", "restore")
        self.restoration = restoration
        self.config = config

    def describe(self) -> str:
        return "prove what the restored processes may do, and let them run"

    def operands(self) -> dict[str, object]:
        return {}

    def execute(self, run: Run) -> None:
        conversation = self.restoration.conversation
        assert conversation is not None
        conversation.acknowledge()
        self.restoration.wait_for(run, RESUMING)
        own_label = "lsm_profile" in self.restoration.wanted.messages
        verify_processes(run, self.config, confined=not own_label)
        conversation.acknowledge()
        self.restoration.wait_for(run, "")
        self.restoration.end()


def _joined(run: Run) -> dict[str, str]:
    """By the name of the descriptor, the keys of namespaces that are handed in."""
    from ociruntime.checkpoint.dump import EXTERNAL_NAMESPACES, namespace_key

    names = {namespace_fd(name): namespace_key(name) for name in EXTERNAL_NAMESPACES}
    return {name: key for name, key in names.items() if name in run.fds}


def _cgroups_of(run: Run, pid: int) -> list[dict[str, str]]:
    """Where CRIU is, and what it makes shall be: in the container's cgroup."""
    if run.cgroup is None:
        return []
    fd = run.kernel.open(f"/proc/{pid}/cgroup", c.O_RDONLY)
    try:
        lines = run.kernel.read_whole(fd).decode("utf-8", "surrogateescape").split("\n")
    finally:
        run.kernel.close(fd)
    found = (line.split(":", 2) for line in lines if line)
    return [{"ctrl": controllers, "path": path} for _, controllers, path in found]
