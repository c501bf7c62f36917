"""The system calls of ``exec`` in a container: those of oci-exec and of the process that it makes
(native/oci-exec.c), which stand here a second time, as data; a test compares both by strace(1).

They are read out of the very block that ``exec`` would pack. For that the container and its cgroup
are opened, and closed again; nothing is made.
"""

from __future__ import annotations

from struct import unpack_from

from ociruntime.errors import OciError
from ociruntime.kernel import block as b
from ociruntime.kernel import constants as c
from ociruntime.kernel import execblock as e
from ociruntime.plan.syscalls import notation as n
from ociruntime.plan.syscalls.becoming import QUIET, Told, becoming, closing
from ociruntime.plan.syscalls.foretell import OWN_CGROUP
from ociruntime.plan.syscalls.primitives import Block, Call, inside, keyring, look, passwd
from ociruntime.process.run import BLOCK_FD, CHANNEL_FD, CONSOLE_FD, INIT_FD
from ociruntime.seccomp.profile import filter_flags
from ociruntime.steps.cgroup import OpenCgroup
from ociruntime.steps.enter import EnterContainer
from ociruntime.steps.prepare_exec import OpenContainer
from ociruntime.steps.seccomp import PrepareSeccomp, ReuseSeccomp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ociruntime.process.run import Run
    from ociruntime.process.step import Step

FIELDS = (
    "container_fd", "namespaces", "cgroup_fd", "cgroup_ns_fd", "root_fd", "console_fd", "flags",
    "keyring_offset", "joins_count", "joins_offset", "cpus_count", "cpus_offset", "nodes_count",
    "nodes_offset", "memory_mode", "persona", "rows", "columns", "root_major", "root_minor",
    "root_ino",
)  # fmt: skip
# Descriptors that nobody opens for this, for the block.
CHANNEL, INIT, CONSOLE, BLOCK = (n.NAMED + number for number in range(4))
NAMES = {CHANNEL: CHANNEL_FD, INIT: INIT_FD, CONSOLE: CONSOLE_FD, BLOCK: BLOCK_FD}
# The root that the process has found.
TOP = "<top>"
DIRECTORY = c.O_PATH | c.O_DIRECTORY
NOT_DUMPABLE = Call("prctl", "PR_SET_DUMPABLE", "0")


class CallStage:
    """Calls with a name in common."""

    __slots__ = ("calls", "name")

    def __init__(self, name: str, calls: Sequence[Call | Block]) -> None:
        self.name = name
        self.calls = calls


class Entering:
    """The step of ``exec`` that makes its process, with the calls in stages. ``hosts`` are the
    names of the host side's descriptors; ``opaque`` is why it cannot be told, "" when it can.
    """

    __slots__ = ("hosts", "opaque", "stages", "step")

    def __init__(self, step: Step) -> None:
        self.step = step
        self.stages: list[CallStage] = []
        self.hosts: list[str] = []
        self.opaque = ""


def foretell_exec(run: Run) -> Entering:
    """What oci-exec and its process will do for the plan of ``exec`` that ``run`` has."""
    (step,) = (step for step in run.steps if isinstance(step, EnterContainer))
    # What the caller would leave open is not: these numbers may be those of the container's.
    step.keep_fds = 0
    told = Entering(step)
    run.fds = {CHANNEL_FD: CHANNEL, INIT_FD: INIT, CONSOLE_FD: CONSOLE}
    try:
        for other in run.steps:
            if isinstance(other, (OpenContainer, OpenCgroup)):
                other.execute(run)
            elif isinstance(other, (PrepareSeccomp, ReuseSeccomp)):
                run.seccomp = b"", _flags(other)
        content, words, _, _ = step.pack(run)
        names = {**{fd: name for name, fd in run.fds.items()}, **NAMES}
        if run.cgroup is not None:
            names[run.cgroup.open_for_clone()] = OWN_CGROUP
        told.stages = _Told(content, names, words).stages()
        told.hosts = [*names.values()]
    except (OSError, OciError) as error:
        told.opaque = f"it cannot be told beforehand: {error}"
    finally:
        for fd in run.fds.values():
            if fd < n.NAMED:
                run.kernel.close(fd)
        run.fds.clear()
        if run.cgroup is not None:
            run.cgroup.close()
    return told


def _flags(step: PrepareSeccomp | ReuseSeccomp) -> int:
    if isinstance(step, ReuseSeccomp):
        return step.saved["flags"]
    return filter_flags(step.profile, [])


class _Told(Told):
    """A block for oci-exec, with the names of its descriptors and the paths to execute."""

    def __init__(self, content: bytes, names: dict[int, str], words: Sequence[bytes]) -> None:
        super().__init__(content)
        self.names = names
        self.fields.update(
            {f"entry.{name}": value for name, value in
             zip(FIELDS, e.HEADER.unpack_from(content, b.HEADER.size), strict=True)}
        )  # fmt: skip
        self.paths = words[: self["candidates"]]
        self.channel = self.name(CHANNEL)
        self.report = Call("sendmsg", self.channel, "<report>", QUIET)

    def name(self, fd: int) -> str:
        """A descriptor of the host side."""
        return f"<{self.names[fd]}>"

    def enters(self, flag: int) -> bool:
        """Whether the entry has ``flag`` (``entry.USER``, ...)."""
        return bool(self["entry.flags"] & flag)

    def stages(self) -> list[CallStage]:
        """All, in their order; those of the host first."""
        return [
            CallStage("read the block", self._mapped()),
            CallStage("prepare", self._prepared()),
            CallStage("join and clone", self._cloned()),
            CallStage("the process: join cgroups", self._joined()),
            CallStage("enter the root", self._entered()),
            CallStage("session", [Call("setsid"), *self._keyring()]),
            CallStage("terminal" if self["entry.console_fd"] >= 0 else "streams", self._streams()),
            CallStage("directory", self._directory()),
            CallStage("program", self._program()),
            CallStage("become the program", becoming(self, self.channel, self.paths)),
        ]

    def _mapped(self) -> list[Call | Block]:
        block = self.name(BLOCK)
        return [
            NOT_DUMPABLE,
            Call("lseek", block, "0", "SEEK_END"),
            Call("mmap", "NULL", "<size>", "PROT_READ", "MAP_PRIVATE", block, "0"),
            Call("close", block),
            Call("prctl", "PR_SET_NAME", '"oci-init"'),
            Call("fcntl", self.channel, "F_SETFD", "FD_CLOEXEC"),
        ]

    def _prepared(self) -> list[Call | Block]:
        items: list[Call | Block] = []
        if self["entry.cpus_count"]:
            size = str(self["entry.cpus_count"] * 8)
            items.append(Call("sched_setaffinity", "0", size, "<cpus>"))
        if self["lsm_attr_offset"]:
            attribute = n.quoted(self.text(self["lsm_attr_offset"]))
            label = self.text(self["lsm_label_offset"])
            beneath = c.RESOLVE_BENEATH | c.RESOLVE_NO_XDEV | c.RESOLVE_NO_MAGICLINKS
            how = n.how(c.O_WRONLY | c.O_CLOEXEC, beneath)
            items += [
                Call("openat", "AT_FDCWD", '"/proc"', n.open_flags(DIRECTORY | c.O_CLOEXEC)),
                look("<proc>"),
                Call("fstatfs", "<proc>", "<found>"),
                Call("openat2", "<proc>", attribute, how, "24"),
                Call("write", "<file>", n.quoted(label), str(len(label))),
                Call("close", "<file>"),
                Call("close", "<proc>"),
            ]
        return items

    def _cloned(self) -> list[Call | Block]:
        items: list[Call | Block] = []
        if self["entry.container_fd"] >= 0:
            kinds = n.flags(self["entry.namespaces"], n.CLONE)
            items.append(Call("setns", self.name(self["entry.container_fd"]), kinds))
        words, flags = "", c.CLONE_PARENT
        if self["entry.cgroup_fd"] >= 0:
            flags |= 1 << 33
            words = f", cgroup={self.name(self['entry.cgroup_fd'])}"
        request = f"{{flags={n.flags(flags, n.CLONE)}, exit_signal=0{words}}}"
        return [*items, NOT_DUMPABLE, Call("clone3", request, "88"), self.report,
                Call("exit_group", "0")]  # fmt: skip

    def _joined(self) -> list[Call | Block]:
        count, offset = self["entry.joins_count"], self["entry.joins_offset"]
        joins = unpack_from(f"={count}i", self.content, offset)
        items: list[Call | Block] = [Call("write", self.name(fd), '"0"', "1") for fd in joins]
        if self.enters(e.JOINED):
            items.append(self.report)
        if self["entry.cgroup_ns_fd"] >= 0:
            items.append(Call("setns", self.name(self["entry.cgroup_ns_fd"]), "CLONE_NEWCGROUP"))
        go = Call("recvfrom", self.channel, "<byte>", "1", "0", "NULL", "NULL")
        return [*items, *closing(), go]

    def _entered(self) -> list[Call | Block]:
        items: list[Call | Block] = []
        if self.enters(e.USER):
            if not self.enters(e.KEEP_GROUPS):
                items += [Call("setgroups", "0", "NULL"), Block("EPERM", self.report)]
            items += [Call("setresgid", "0", "0", "0"), Call("setresuid", "0", "0", "0")]
            items.append(NOT_DUMPABLE)
        given = self["entry.root_fd"] >= 0
        taken: list[Call | Block] = []
        if given:
            root = self.name(self["entry.root_fd"])
            taken = [Call("fchdir", root), Call("chroot", '"."')]
        if given and not self.enters(e.KNOWN):
            return [*items, *taken]
        items.append(Call("openat", "AT_FDCWD", '"/"', n.open_flags(DIRECTORY | c.O_CLOEXEC)))
        if self.enters(e.KNOWN):
            items.append(look(TOP))
        if given:
            items += [
                Block("it is not the one that was recorded", look(TOP), look(root)),
                Block("it is that one, or the first process's", Call("close", root)),
                Block("it is neither", look(root), Call("close", TOP), *taken),
            ]
        return items

    def _keyring(self) -> list[Call | Block]:
        name = n.quoted(self.text(self["entry.keyring_offset"]))
        return [*keyring(name), Block("EPERM or ENOSYS", self.report)]

    def _streams(self) -> list[Call | Block]:
        uid = str(self["uid"])
        if self["entry.console_fd"] >= 0:
            return self._terminal(uid)
        items: list[Call | Block] = []
        for fd in ("0", "1", "2"):
            owned = Block("it has no name", Call("fchownat", fd, '""', uid, "-1", "AT_EMPTY_PATH"))
            nameless = Block("it is another's pipe or socket",
                             Call("fstatfs", fd, "<found>"), owned)  # fmt: skip
            items += [look(fd), nameless]
        null, file = '"/dev/null"', "<null>"
        replaced = Block(
            "it is that still",
            Call("fcntl", file, "F_SETFL", "O_RDONLY"),
            Block("each stream that is one", Call("dup3", file, "<stream>", "0"), repeats=True),
        )
        again = inside(TOP, null, c.O_RDWR | c.O_NONBLOCK | c.O_NOCTTY)
        opened = Block("it is opened", look(file), replaced, Call("close", file))
        device = Block("it is the device", again, opened)
        there = Block("it is there", look(file), Call("close", file), device)
        first = inside(TOP, null, c.O_PATH | c.O_NOFOLLOW)
        return [*items, Block("a stream is /dev/null", first, there)]

    def _terminal(self, uid: str) -> list[Call | Block]:
        def opened(flags: int) -> list[Call | Block]:
            found = inside(TOP, '"/dev/pts/ptmx"', flags, c.RESOLVE_NO_SYMLINKS)
            return [found, look("<ptmx>"), Call("fstatfs", "<ptmx>", "<found>")]

        console, own, master = self.name(CONSOLE), "<terminal>", "<ptmx>"
        items = [*opened(c.O_PATH | c.O_NOFOLLOW), Call("close", master)]
        items += opened(c.O_RDWR | c.O_NOCTTY)
        peer = hex(c.O_RDWR | c.O_NOCTTY | c.O_CLOEXEC)
        items += [Call("ioctl", master, "TIOCSPTLCK", "[0]"),
                  Call("ioctl", master, "TIOCGPTPEER", peer)]  # fmt: skip
        if self["entry.rows"] and self["entry.columns"]:
            size = f"{{ws_row={self['entry.rows']}, ws_col={self['entry.columns']}}}"
            items.append(Call("ioctl", own, "TIOCSWINSZ", size))
        if self.enters(e.RELAYED):
            items += [Call("ioctl", own, "TCGETS", "<settings>"),
                      Call("ioctl", own, "TCSETS", "<settings>")]  # fmt: skip
        other = Block("each stream that it is not", Call("dup3", own, "<stream>", "0"),
                      repeats=True)  # fmt: skip
        return [
            *items,
            Call("sendmsg", console, "<master>", QUIET),
            Call("close", console),
            Call("close", master),
            Call("fchownat", own, '""', uid, "-1", "AT_EMPTY_PATH"),
            Call("ioctl", own, "TIOCSCTTY", "0"),
            other,
            Block("it is none of them", Call("close", own)),
            Block("it is one of them", Call("fcntl", own, "F_SETFD", "0")),
        ]

    def _directory(self) -> list[Call | Block]:
        entered = Call("fchdir", "<directory>"), Call("close", "<directory>")
        return [
            inside(TOP, n.quoted(self.text(self["cwd_offset"])), DIRECTORY),
            Block("it is opened", *entered),
            Block("it is entered", Call("getcwd", "<memory>", "4096")),
        ]

    def _program(self) -> list[Call | Block]:
        items: list[Call | Block] = passwd(TOP) if self.enters(e.HOME) else []
        cwd = self.text(self["cwd_offset"])
        for path in reversed(self.paths):
            full = path if path.startswith(b"/") else cwd + b"/" + path
            there = Block("it is there", look("<program>"), Call("close", "<program>"))
            items += [inside(TOP, n.quoted(full), c.O_PATH), there]
        if self.enters(e.PERSONA):
            items.append(Call("personality", str(self["entry.persona"])))
        if self.enters(e.MEMORY):
            count = self["entry.nodes_count"]
            maximum = str(count * 64 + 1 if count else 0)
            mode = str(self["entry.memory_mode"])
            items.append(Call("set_mempolicy", mode, "<nodes>" if count else "NULL", maximum))
        return [*items, *closing(), self.report]
