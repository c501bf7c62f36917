"""The system calls by which a process of ours becomes the program (native/become.c), read out of
the block that tells it how.
"""

from __future__ import annotations

from struct import unpack_from

from ociruntime.kernel import block as b
from ociruntime.plan.syscalls import notation as n
from ociruntime.plan.syscalls.primitives import Block, Call
from ociruntime.spec.tables import CAPABILITIES, RLIMITS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

FIELDS = (
    "magic", "version", "size", "flags", "channel_fd", "proc_fd", "keep_fds", "uid", "gid", "umask",
    "groups_count", "groups_offset", "rlimits_count", "rlimits_offset", "bounding", "effective",
    "permitted", "inheritable", "ambient", "last_cap", "candidates", "cwd_offset",
    "lsm_attr_offset", "lsm_label_offset", "seccomp_flags", "seccomp_count", "seccomp_offset",
)  # fmt: skip
CAPABILITY_NAMES = {number: name for name, number in CAPABILITIES.items()}
RLIMIT_NAMES = {number: name for name, number in RLIMITS.items()}
SIGNAL = "{sa_handler=SIG_DFL, sa_mask=[], sa_flags=0}"
VERSION = "{version=_LINUX_CAPABILITY_VERSION_3, pid=0}"
INFINITE = (1 << 64) - 1
KIB = 1024
NEW_LISTENER = 1 << 3
QUIET = "MSG_DONTWAIT|MSG_NOSIGNAL"


class Told:
    """What a block says: a field of struct block (native/block.h) by its name, and its flags."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.fields = dict(zip(FIELDS, b.HEADER.unpack_from(content), strict=True))

    def __getitem__(self, name: str) -> int:
        return int(self.fields[name])

    def has(self, flag: int) -> bool:
        """Whether it has ``flag`` (``block.NO_NEW_PRIVS``, ...)."""
        return bool(self["flags"] & flag)

    def text(self, offset: int) -> bytes:
        """The string at ``offset``."""
        return self.content[offset : self.content.index(0, offset)]

    def groups(self) -> str:
        """The additional groups."""
        found = unpack_from(f"={self['groups_count']}I", self.content, self["groups_offset"])
        return f"[{', '.join(map(str, found))}]"

    def limits(self) -> list[tuple[int, int, int]]:
        """The resource limits: which one, soft, hard."""
        offset, size = self["rlimits_offset"], b.RLIMIT.size
        each = range(offset, offset + self["rlimits_count"] * size, size)
        limits = [b.RLIMIT.unpack_from(self.content, at) for at in each]
        return [(which, soft, hard) for which, _, soft, hard in limits]


def becoming(told: Told, channel: str, paths: Sequence[bytes]) -> list[Call | Block]:
    """become(): the identity, and the first of ``paths`` that can be executed."""
    items: list[Call | Block] = [
        Block(
            "each signal but SIGKILL and SIGSTOP",
            Call("rt_sigaction", "<signal>", SIGNAL, "NULL", "8"),
            repeats=True,
        ),
        Call("rt_sigprocmask", "SIG_SETMASK", "[]", "NULL", "8"),
        Call("umask", f"0{told['umask']:02o}" if told["umask"] else "000"),
    ]
    if told.has(b.ALL_CPUS):
        items.append(Call("sched_setaffinity", "0", "1024", "<all>"))
    for which, soft, hard in told.limits():
        values = f"{{rlim_cur={_limit(soft)}, rlim_max={_limit(hard)}}}"
        items.append(Call("prlimit64", "0", RLIMIT_NAMES.get(which, str(which)), values, "NULL"))
    items += [*closing(), *_identity(told, channel)]
    if told.has(b.NO_NEW_PRIVS):
        items.append(Call("prctl", "PR_SET_NO_NEW_PRIVS", "1", "0", "0", "0"))
        items += _filter(told, channel)
    return [*items, *_execution(paths)]


def closing() -> list[Call | Block]:
    """close_others(): every descriptor but some."""
    gap = Call("close_range", "<first>", "<last>", "0")
    return [
        Block("each gap between those that stay open", gap, repeats=True),
        Call("close_range", "<first>", "4294967295", "0"),
    ]


def _identity(told: Told, channel: str) -> list[Call | Block]:
    """take_identity()."""
    items: list[Call | Block] = []
    for number in range(told["last_cap"] + 1):
        if not told["bounding"] >> number & 1:
            name = _capability(number)
            items.append(Call("prctl", "PR_CAPBSET_DROP", name))
            items.append(Block("it is refused", Call("prctl", "PR_CAPBSET_READ", name)))
    items.append(Call("prctl", "PR_SET_KEEPCAPS", "1"))
    if told.has(b.SET_GROUPS):
        groups = Call("setgroups", str(told["groups_count"]), told.groups())
        items.append(Block("no user namespace has refused it", groups))
    gid, uid = str(told["gid"]), str(told["uid"])
    items += [
        Call("setresgid", gid, gid, gid),
        Call("setresuid", uid, uid, uid),
        Call("prctl", "PR_SET_KEEPCAPS", "0"),
        Call("capget", VERSION, "<capabilities>"),
        _capset(told, "<all>", told["effective"]),
        Call("chdir", n.quoted(told.text(told["cwd_offset"]))),
        Call("getcwd", "<memory>", "4096"),
    ]
    if told.has(b.SECCOMP) and not told.has(b.NO_NEW_PRIVS):
        items += [Call("capset", VERSION, "<capabilities>"), *_filter(told, channel)]
    items.append(_capset(told, capabilities(told["permitted"]), told["effective"]))
    items.append(Call("prctl", "PR_CAP_AMBIENT", "PR_CAP_AMBIENT_CLEAR_ALL", "0", "0", "0"))
    raised = [number for number in range(told["last_cap"] + 1) if told["ambient"] >> number & 1]
    words = "PR_CAP_AMBIENT", "PR_CAP_AMBIENT_RAISE"
    items += [Call("prctl", *words, _capability(number), "0", "0") for number in raised]
    return items


def _capset(told: Told, permitted: str, effective: int) -> Call:
    sets = f"effective={capabilities(effective)}, permitted={permitted}"
    inheritable = capabilities(told["inheritable"])
    return Call("capset", VERSION, f"{{{sets}, inheritable={inheritable}}}")


def capabilities(mask: int) -> str:
    """A set of capabilities."""
    names = [f"1<<{_capability(number)}" for number in range(64) if mask >> number & 1]
    return "|".join(names) or "0"


def _capability(number: int) -> str:
    return CAPABILITY_NAMES.get(number, hex(number))


def _limit(value: int) -> str:
    if value == INFINITE:
        return "RLIM64_INFINITY"
    return f"{value // KIB}*{KIB}" if value > KIB and value % KIB == 0 else str(value)


def _filter(told: Told, channel: str) -> list[Call | Block]:
    """load_seccomp()."""
    if not told.has(b.SECCOMP):
        return []
    flags = told["seccomp_flags"]
    loaded = Call("seccomp", "SECCOMP_SET_MODE_FILTER", str(flags), "<filter>")
    if not flags & NEW_LISTENER:
        return [loaded]
    return [loaded, Call("sendmsg", channel, "<listener>", QUIET), Call("close", "<listener>")]


def _execution(paths: Sequence[bytes]) -> list[Call | Block]:
    words = "<arguments>", "<environment>"
    if len(paths) == 1:
        return [Call("execve", n.quoted(paths[0]), *words)]
    again = Block("each that was found, until one can be executed",
                  Call("execve", "<path>", *words), repeats=True)  # fmt: skip
    return [again]
