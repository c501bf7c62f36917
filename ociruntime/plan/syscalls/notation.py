"""Operands in words, spelled as strace(1) spells them.

What only the run will know stands in angle brackets: ``<rootfs>`` is a descriptor that the host
side has opened, ``<directory>`` one that an earlier call of the same operation has. ``$3`` is the
result that an earlier operation has left in register 3.
"""

from __future__ import annotations

from struct import unpack

from ociruntime.kernel import constants as c
from ociruntime.kernel import program as p
from ociruntime.kernel.numbers import NUMBERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ociruntime.plan.syscalls.decode import Operand, Operation

NAMES = {number: name for name, number in NUMBERS.items()}


def _of(*names: str) -> dict[int, str]:
    return {getattr(c, name): name for name in names}


OPEN = _of(
    "O_WRONLY", "O_RDWR", "O_CREAT", "O_EXCL", "O_NOCTTY", "O_TRUNC", "O_APPEND", "O_NONBLOCK",
    "O_DIRECTORY", "O_NOFOLLOW", "O_CLOEXEC", "O_PATH",
)  # fmt: skip
RESOLVE = _of(
    "RESOLVE_NO_XDEV", "RESOLVE_NO_MAGICLINKS", "RESOLVE_NO_SYMLINKS", "RESOLVE_BENEATH",
    "RESOLVE_IN_ROOT",
)  # fmt: skip
AT = _of("AT_EMPTY_PATH", "AT_SYMLINK_NOFOLLOW", "AT_REMOVEDIR", "AT_RECURSIVE")
UNLINK = {0x200: "AT_REMOVEDIR"}
TREE = {1: "OPEN_TREE_CLONE", c.O_CLOEXEC: "OPEN_TREE_CLOEXEC", **AT}
MOVE = _of("MOVE_MOUNT_F_EMPTY_PATH", "MOVE_MOUNT_T_EMPTY_PATH")
ATTRIBUTES = _of(
    "MOUNT_ATTR_RDONLY", "MOUNT_ATTR_NOSUID", "MOUNT_ATTR_NODEV", "MOUNT_ATTR_NOEXEC",
    "MOUNT_ATTR_NOATIME", "MOUNT_ATTR_STRICTATIME", "MOUNT_ATTR_NODIRATIME", "MOUNT_ATTR_IDMAP",
    "MOUNT_ATTR_NOSYMFOLLOW",
)  # fmt: skip
PROPAGATION = {1 << 17: "MS_UNBINDABLE", 1 << 18: "MS_PRIVATE", 1 << 19: "MS_SLAVE",
               1 << 20: "MS_SHARED"}  # fmt: skip
MOUNT = {**_of("MS_RDONLY", "MS_NOSUID", "MS_NODEV", "MS_NOEXEC", "MS_REC"), **PROPAGATION}
UMOUNT = _of("MNT_DETACH", "UMOUNT_NOFOLLOW")
CLONE = {
    **_of(
        "CLONE_NEWTIME", "CLONE_NEWNS", "CLONE_NEWCGROUP", "CLONE_NEWUTS", "CLONE_NEWIPC",
        "CLONE_NEWUSER", "CLONE_NEWNET", "CLONE_PARENT",
    ),
    0x20000000: "CLONE_NEWPID",
    0x200000000: "CLONE_INTO_CGROUP",
}  # fmt: skip
PRCTL = _of("PR_SET_PDEATHSIG", "PR_SET_DUMPABLE", "PR_SET_NAME")
KINDS = _of("S_IFREG", "S_IFCHR", "S_IFBLK", "S_IFDIR", "S_IFIFO", "S_IFLNK", "S_IFSOCK")
# Descriptors of the host side have numbers from here on: no process has so many.
NAMED = 1 << 24


def flags(value: int, table: dict[int, str]) -> str:
    """``value`` as names of ``table``; what has none is a hexadecimal number."""
    found = []
    for bit, name in table.items():
        if bit and value & bit == bit:
            found.append(name)
            value &= ~bit
    if value or not found:
        found.append(hex(value) if value else "0")
    return "|".join(found)


def open_flags(value: int) -> str:
    """Flags of open(2); one without access mode reads."""
    words = flags(value, OPEN)
    if value & 3:
        return words
    return "O_RDONLY" if words == "0" else f"O_RDONLY|{words}"


def mode(value: int) -> str:
    """A mode with its kind, if it has one."""
    kind = KINDS.get(value & c.S_IFMT)
    return f"{kind}|{value & 0o7777:04o}" if kind else f"{value & 0o7777:04o}"


def quoted(text: bytes) -> str:
    """A string between quotes."""
    plain = text.decode("utf-8", "backslashreplace").replace("\\", "\\\\").replace('"', '\\"')
    return f'"{plain}"'


def how(value: int, resolve: int) -> str:
    """struct open_how."""
    return f"{{flags={open_flags(value)}, resolve={flags(resolve, RESOLVE)}}}"


class Notation:
    """``hosts`` are the names of the host side's descriptors, from ``NAMED`` on."""

    def __init__(self, hosts: list[str]) -> None:
        self.hosts = hosts

    def descriptor(self, operand: Operand) -> str:
        """A register, a descriptor of the host side, AT_FDCWD, or a number."""
        if operand.kind == p.REGISTER:
            return f"${operand.value}"
        if 0 <= operand.number - NAMED < len(self.hosts):
            return f"<{self.hosts[operand.number - NAMED]}>"
        return "AT_FDCWD" if operand.number == c.AT_FDCWD else str(operand.number)

    def string(self, operand: Operand) -> str:
        """A string, or NULL."""
        return quoted(operand.text()) if operand.kind == p.DATA else "NULL"

    def other(self, operand: Operand) -> str:
        """What no table tells more of."""
        if operand.kind == p.REGISTER:
            return self.descriptor(operand)
        if operand.kind == p.SCRATCH:
            return "<memory>"
        if operand.kind == p.DATA:
            return "<data>"
        return str(operand.number)

    def arguments(self, one: Operation) -> list[str]:
        """Those of the system call that ``one`` (CALL) is."""
        words = FORMS.get(NAMES.get(one.number, ""), "")
        given = one.operands
        told = []
        for index, letter in enumerate(words):
            told.append(LETTERS[letter](self, given, index))
        if "o" in words and "O_CREAT" not in told[-2]:
            told.pop()  # there is no mode then
        return told if words else self._unknown(one)

    def _unknown(self, one: Operation) -> list[str]:
        last = max((i for i, o in enumerate(one.operands) if o.kind or o.value), default=-1)
        return [self.other(operand) for operand in one.operands[: last + 1]]

    def call_name(self, one: Operation) -> str:
        """The name of the system call that ``one`` (CALL) is."""
        return NAMES.get(one.number, f"syscall_{one.number}")


def _how(_: Notation, given: list[Operand], index: int) -> str:
    value, _mode, resolve = unpack("=QQQ", given[index].memory(24))
    return how(value, resolve)


def _attributes(_: Notation, given: list[Operand], index: int) -> str:
    set_, clear, propagation, userns = unpack("=QQQQ", given[index].memory(32))
    return (
        f"{{attr_set={flags(set_, ATTRIBUTES)}, attr_clr={flags(clear, ATTRIBUTES)}, "
        f"propagation={flags(propagation, PROPAGATION)}, userns_fd={userns and '<userns>'}}}"
    )


def _data(_: Notation, given: list[Operand], index: int) -> str:
    return quoted(given[index].memory(given[index + 1].value))


def _table(table: dict[int, str]) -> Callable[[Notation, list[Operand], int], str]:
    return lambda _, given, index: flags(given[index].value & 0xFFFFFFFF, table)


# What an operand is, one letter each.
LETTERS: dict[str, Callable[[Notation, list[Operand], int], str]] = {
    "f": lambda self, given, index: self.descriptor(given[index]),
    "s": lambda self, given, index: self.string(given[index]),
    "o": lambda _, given, index: open_flags(given[index].value),
    "m": lambda _, given, index: mode(given[index].value),
    "n": lambda self, given, index: self.other(given[index]),
    "d": _data,
    "h": _how,
    "a": _attributes,
    "A": _table(AT),
    "U": _table(UNLINK),
    "T": _table(TREE),
    "M": _table(MOVE),
    "R": _table(ATTRIBUTES),
    "O": _table(MOUNT),
    "u": _table(UMOUNT),
    "C": _table(CLONE),
    "K": _table({4: "CLOSE_RANGE_CLOEXEC"}),
    "v": lambda _, given, index: str(given[index].value & 0xFFFFFFFF),
    "p": lambda _, given, index: PRCTL.get(given[index].number, str(given[index].number)),
}
FORMS = {
    "openat": "fsom", "openat2": "fshn", "close": "f", "open_tree": "fsT", "move_mount": "fsfsM",
    "mount_setattr": "fsAan", "mkdirat": "fsm", "mknodat": "fsmn", "symlinkat": "sfs",
    "unlinkat": "fsU", "fchmodat": "fsm", "fchownat": "fsnnA", "fchdir": "f", "chroot": "s",
    "pivot_root": "ss", "umount2": "su", "unshare": "C", "setns": "fC", "mount": "sssOs",
    "sethostname": "dn", "setdomainname": "dn", "write": "fdn", "statx": "fsAnn", "fstatfs": "fn",
    "dup3": "ffn", "fcntl": "fnn", "ioctl": "fnn", "close_range": "nvK", "setsid": "",
    "fsmount": "fnR", "umask": "m", "readlinkat": "fsnn", "prctl": "pn", "socket": "nnn",
}  # fmt: skip
