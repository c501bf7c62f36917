"""The system calls of each operation of oci-setup's (native/program.h), in their order.

What native/perform.c does with an operation stands here a second time, as data; a test compares
both over a real container by strace(1). What depends on the file system that it meets is a
``Block``: left out, or repeated, as it says.
"""

from __future__ import annotations

from ociruntime.kernel import constants as c
from ociruntime.kernel import program as p
from ociruntime.plan.syscalls import notation as n

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ociruntime.plan.syscalls.decode import Operand, Operation
    from ociruntime.plan.syscalls.notation import Notation


class Call:
    """One system call. ``again``: it is repeated while it answers EAGAIN, 127 times at most."""

    __slots__ = ("again", "arguments", "name")

    def __init__(self, name: str, *arguments: str, again: bool = False) -> None:
        self.name = name
        self.arguments = arguments
        self.again = again

    def __str__(self) -> str:
        return f"{self.name}({', '.join(self.arguments)})"

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        told: dict[str, object] = {"call": self.name, "arguments": list(self.arguments)}
        return {**told, "again": "EAGAIN"} if self.again else told


class Block:
    """Calls that are made only ``when`` something is so; ``repeats``: any number of times."""

    __slots__ = ("items", "repeats", "when")

    def __init__(self, when: str, *items: Call | Block, repeats: bool = False) -> None:
        self.when = when
        self.items = items
        self.repeats = repeats

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        calls = [item.as_dict() for item in self.items]
        return {"when": self.when, "repeats": self.repeats, "calls": calls}


INSIDE = c.RESOLVE_IN_ROOT | c.RESOLVE_NO_MAGICLINKS
LOOKED_AT = "STATX_TYPE|STATX_MODE|STATX_UID|STATX_INO"
BOTH = "MOVE_MOUNT_F_EMPTY_PATH|MOVE_MOUNT_T_EMPTY_PATH"
NEW = "O_WRONLY|O_CREAT|O_EXCL|O_NOFOLLOW|O_CLOEXEC"
ITSELF = "O_RDONLY|O_PATH|O_NOFOLLOW|O_CLOEXEC"
NAME, PARENT = "<name>", "<directory>"
CLOSE_PARENT = Call("close", PARENT)


def calls_of(one: Operation, notation: Notation) -> list[Call | Block]:
    """The calls of an operation. Hooks are other programs: of them only the start is told."""
    return MAKERS[one.code](one, one.operands, notation)


def look(fd: str, name: str = "") -> Call:
    """look(): what an inode is; of a name only whether it is there."""
    if name:
        return Call("statx", fd, name, "AT_SYMLINK_NOFOLLOW", "STATX_INO", "<found>")
    return Call("statx", fd, '""', "AT_EMPTY_PATH", LOOKED_AT, "<found>")


def _mount_of(fd: str) -> Call:
    return Call("statx", fd, '""', "AT_EMPTY_PATH", "STATX_MNT_ID", "<found>")


def inside(root: str, path: str, flags: int, resolve: int = 0) -> Call:
    """open_by(): a lookup that does not leave ``root``."""
    how = n.how(flags | c.O_CLOEXEC, INSIDE | resolve)
    return Call("openat2", root, path, how, "24", again=True)


def _path(operand: Operand) -> str:
    return n.quoted(operand.text() or b"/")


def _move(mount: str, target: str) -> Call:
    return Call("move_mount", mount, '""', target, '""', BOTH)


def _set(mount: str, attributes: str, propagation: str) -> Call:
    what = f"{{attr_set={attributes}, attr_clr=0, propagation={propagation}, userns_fd=0}}"
    return Call("mount_setattr", mount, '""', "AT_EMPTY_PATH", what, "32")


def _copy(fd: str, more: str = "") -> Call:
    return Call("open_tree", fd, '""', f"OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC|AT_EMPTY_PATH{more}")


def _made(*, directory: bool) -> tuple[Call | Block, ...]:
    """told(): what was made is reported, or taken away."""
    take = Call("unlinkat", PARENT, NAME, "AT_REMOVEDIR" if directory else "0")
    return look(PARENT, NAME), Block("it is gone again", take)


def _new_file(mode: str) -> tuple[Call | Block, ...]:
    """create()."""
    return (
        Call("openat", PARENT, NAME, NEW, mode),
        Block("it is new", *_made(directory=False), Call("close", "<file>"),
              Call("openat", PARENT, NAME, ITSELF)),
    )  # fmt: skip


def _place(root: str, mode: str, *makes: Call | Block) -> Block:
    """make_place(): everything that is missing, one component after the other; ``makes`` is how
    the last one is made where that is no directory.
    """
    directory = c.O_PATH | c.O_DIRECTORY
    made = Block("it is new", *_made(directory=True))
    link = Block(
        "something is there", Call("readlinkat", PARENT, NAME, "<target>", "8191")
    )
    opened = Block("it is no symlink", Call("openat", PARENT, NAME, f"{ITSELF}|O_DIRECTORY"))
    component = Block(
        "each missing directory", Call("mkdirat", PARENT, NAME, mode), made, link, opened,
        CLOSE_PARENT, repeats=True,
    )  # fmt: skip
    last: tuple[Call | Block, ...] = ()
    if makes:
        again = Block("something is there", Call("openat", PARENT, NAME, ITSELF))
        last = (Block("the last component", *makes, link, again, CLOSE_PARENT),)
    known = Block(
        "the longest part that exists is looked for",
        inside(root, "<path>", directory),
        repeats=True,
    )
    dots = Block("a .. follows something missing", CLOSE_PARENT)
    return Block(
        "once, and again for each symlink to something missing",
        known, dots, component, *last, repeats=True,
    )  # fmt: skip


def _parent(root: str, path: bytes) -> tuple[Call | Block, ...]:
    """parent_of()."""
    *above, _ = [part for part in path.split(b"/") if part not in (b"", b".")] or [b""]
    where = n.quoted(b"/".join(above) or b"/")
    opened = inside(root, where, c.O_PATH | c.O_DIRECTORY)
    return opened, Block("ENOENT", _place(root, "0755"))


def _elsewhere(root: str, directory: str) -> tuple[Call | Block, ...]:
    """refuse_elsewhere(): whether that is another mount than root's or /dev's."""
    plain = inside(root, "<path>", c.O_PATH | c.O_DIRECTORY, c.RESOLVE_NO_SYMLINKS)
    return (
        _mount_of(directory),
        _mount_of(root),
        Block("it is another mount", Block("", plain, repeats=True), _mount_of("<plain>"),
              Call("close", "<plain>")),
    )  # fmt: skip


def _call(one: Operation, _: list[Operand], notation: Notation) -> list[Call | Block]:
    return [Call(notation.call_name(one), *notation.arguments(one))]


def _open(_: Operation, given: list[Operand], notation: Notation) -> list[Call | Block]:
    root, path = notation.descriptor(given[0]), _path(given[1])
    return [inside(root, path, given[2].value, given[3].value)]


def _directory(_: Operation, given: list[Operand], notation: Notation) -> list[Call | Block]:
    root = notation.descriptor(given[0])
    resolve = 0 if given[3].value == p.FOLLOWS else c.RESOLVE_NO_SYMLINKS
    opened = inside(root, _path(given[1]), c.O_PATH | c.O_DIRECTORY, resolve)
    return [opened, Block("ENOENT", _place(root, n.mode(given[2].value)))]


def _file(_: Operation, given: list[Operand], notation: Notation) -> list[Call | Block]:
    root, mode = notation.descriptor(given[0]), n.mode(given[2].value)
    opened = inside(root, _path(given[1]), c.O_PATH)
    return [opened, Block("ENOENT", _place(root, "0755", *_new_file(mode)))]


def _itself(_: Operation, given: list[Operand], notation: Notation) -> list[Call | Block]:
    root, mode = notation.descriptor(given[0]), n.mode(given[3].value)
    is_directory = bool(given[2].value)
    opened = Call("openat", PARENT, NAME, ITSELF + "|O_DIRECTORY" * is_directory)
    if is_directory:
        new: tuple[Call | Block, ...] = (Call("mkdirat", PARENT, NAME, mode),)
    else:
        new = (Call("openat", PARENT, NAME, NEW, mode),)
    made = (*_made(directory=is_directory), *(() if is_directory else (Call("close", "<file>"),)))
    missing = Block("ENOENT", *new, *made, opened)
    return [*_parent(root, given[1].text()), opened, missing, CLOSE_PARENT]


def _symlink(_: Operation, given: list[Operand], notation: Notation) -> list[Call | Block]:
    root, how = notation.descriptor(given[0]), given[3].value
    items: list[Call | Block] = [*_parent(root, given[1].text())]
    if how & p.NEAR:
        items += _elsewhere(root, PARENT)
    if how & p.REPLACES:
        items.append(Call("readlinkat", PARENT, NAME, "<target>", "8191"))
        items.append(Block("it is not that link", Call("unlinkat", PARENT, NAME, "0")))
    items.append(Call("symlinkat", n.quoted(given[2].text()), PARENT, NAME))
    return [*items, Block("it is new", *_made(directory=False)), CLOSE_PARENT]


def _device(_: Operation, given: list[Operand], notation: Notation) -> list[Call | Block]:
    root, mode = notation.descriptor(given[0]), given[3].value
    makes = list(_elsewhere(root, PARENT))
    is_file = mode & c.S_IFMT == c.S_IFREG
    if is_file:
        makes += _new_file(n.mode(mode & 0o7777))
    else:
        owner = str(given[5].number), str(given[6].number)
        changes = Call("fchownat", PARENT, NAME, *owner, "AT_SYMLINK_NOFOLLOW")
        owned = (changes,) if given[5].value or given[6].value else ()
        device = f"makedev({given[4].value >> 8 & 0xFFF:#x}, {given[4].value & 0xFF:#x})"
        makes.append(Call("mknodat", PARENT, NAME, n.mode(mode), device))
        makes.append(Block("it is new", *_made(directory=False), *owned))
    place = _place(root, "0755", *makes)
    proven = Block("something is there", look("<device>"), Call("close", "<device>"))
    return [place] if is_file else [place, proven]


def _configured(option: bytes) -> Call:
    key, equals, value = option.partition(b"=")
    if equals:
        words = "FSCONFIG_SET_STRING", n.quoted(key), n.quoted(value)
    else:
        words = "FSCONFIG_SET_FLAG", n.quoted(key), "NULL"
    return Call("fsconfig", "<context>", *words, "0")


HEARD = Block("messages", Call("read", "<context>", "<memory>", "512"), repeats=True)


def _made_filesystem(
    kind: bytes, source: bytes, options: list[bytes], known: list[bytes], attributes: int
) -> list[Call | Block]:
    """make_filesystem(), as long as nothing is refused."""
    items: list[Call | Block] = [Call("fsopen", n.quoted(kind), "FSOPEN_CLOEXEC")]
    if source:
        words = "FSCONFIG_SET_STRING", '"source"', n.quoted(source)
        items.append(Call("fsconfig", "<context>", *words, "0"))
    items += map(_configured, options)
    for flag in known:
        items += [_configured(flag), HEARD]
    items.append(Call("fsconfig", "<context>", "FSCONFIG_CMD_CREATE", "NULL", "NULL", "0"))
    how = n.flags(attributes, n.ATTRIBUTES)
    return [*items, Call("fsmount", "<context>", "FSMOUNT_CLOEXEC", how)]


def _filesystem(one: Operation, given: list[Operand], _: Notation) -> list[Call | Block]:
    options, known = given[2].texts(given[3].value), given[4].texts(given[5].value)
    kind, source = given[0].text(), given[1].text()
    items = _made_filesystem(kind, source, options, known, given[6].value)
    closed = Call("close", "<context>")
    if not one.tolerated:
        return [*items, closed]
    first, *others = items
    rest = [Block("nothing was refused before", item) for item in others]
    return [first, *rest, HEARD, Block("fsopen was not refused", closed)]


def _attach(_: Operation, given: list[Operand], notation: Notation) -> list[Call | Block]:
    mount, target, root = map(notation.descriptor, given[:3])
    flags = c.O_PATH | c.O_NOFOLLOW
    proc = Block("there is a /proc", look("<proc>"), Call("close", "<proc>"))
    other = Block("it is no procfs", inside(root, '"/proc"', flags), proc)
    looked = look(target), look(mount), Call("fstatfs", mount, "<found>"), other
    known = [_mount_of(mount)] if given[3].value else []
    return [*looked, _move(mount, target), *known, Call("close", target)]


def _kind(_: Operation, given: list[Operand], notation: Notation) -> list[Call | Block]:
    return [look(notation.descriptor(given[0]))]


def _empty(_: Operation, given: list[Operand], notation: Notation) -> list[Call | Block]:
    fd = notation.descriptor(given[0])
    return [Call("statx", fd, '""', "AT_EMPTY_PATH", "STATX_TYPE|STATX_SIZE", "<found>")]


def _on(_: Operation, given: list[Operand], notation: Notation) -> list[Call | Block]:
    fd = notation.descriptor(given[0])
    return [look(fd), Call("fstatfs", fd, "<found>")]


def _mask(_: Operation, given: list[Operand], notation: Notation) -> list[Call | Block]:
    root, null = notation.descriptor(given[0]), notation.descriptor(given[5])
    target = "<target>"
    options = given[2].texts(given[3].value)
    first = _made_filesystem(b"tmpfs", b"tmpfs", options, [], given[4].value)
    directory = Block(
        "it is a directory",
        Block("the first of them", *first, Call("close", "<context>")),
        Block("a later one", _copy("<first>")),
        _move("<cover>", target), Block("a later one", Call("close", "<cover>")),
    )  # fmt: skip
    file = Block(
        "it is none", _copy(null), _set("<cover>", "MOUNT_ATTR_RDONLY", "MS_PRIVATE"),
        _move("<cover>", target), Call("close", "<cover>"),
    )  # fmt: skip
    there = Block("it is there", look(target), directory, file, Call("close", target))
    return [inside(root, _path(given[1]), c.O_PATH), there]


def _readonly(_: Operation, given: list[Operand], notation: Notation) -> list[Call | Block]:
    root, target, mount = notation.descriptor(given[0]), "<target>", "<mount>"
    made = _copy(target, "|AT_RECURSIVE"), _set(mount, "MOUNT_ATTR_RDONLY", "0")
    closed = Call("close", mount), Call("close", target)
    there = Block("it is there", *made, _move(mount, target), *closed)
    return [inside(root, _path(given[1]), c.O_PATH), there]


def _where(_: Operation, _given: list[Operand], _notation: Notation) -> list[Call | Block]:
    return [Call("getcwd", "<memory>", "8192")]


def _dev(_: Operation, given: list[Operand], notation: Notation) -> list[Call | Block]:
    root, flags = notation.descriptor(given[0]), c.O_PATH | c.O_DIRECTORY
    followed = Block("ELOOP", inside(root, '"/dev"', flags))
    there = Block("it is there", _mount_of("<dev>"), _mount_of(root), Call("close", "<dev>"))
    return [inside(root, '"/dev"', flags, c.RESOLVE_NO_SYMLINKS), followed, there]


def _program(_: Operation, given: list[Operand], notation: Notation) -> list[Call | Block]:
    there = Block("it is there", look("<program>"), Call("close", "<program>"))
    return [inside(notation.descriptor(given[0]), _path(given[1]), c.O_PATH), there]


def _home(_: Operation, given: list[Operand], notation: Notation) -> list[Call | Block]:
    return passwd(notation.descriptor(given[0]))


def passwd(root: str) -> list[Call | Block]:
    """open_passwd() and home_of(): the image's list of users is read."""
    path = '"/etc/passwd"'
    read = Block("", Call("read", "<file>", "<memory>", "1024"), repeats=True)
    still = Block("it is there still", look("<file>"), read, Call("close", "<file>"))
    file = Block("it is a file", inside(root, path, c.O_NONBLOCK | c.O_NOCTTY), still)
    there = Block("it is there", look("<passwd>"), Call("close", "<passwd>"), file)
    return [inside(root, path, c.O_PATH), there]


def _keyring(_: Operation, given: list[Operand], notation: Notation) -> list[Call | Block]:
    return keyring(notation.string(given[0]))


def keyring(name: str) -> list[Call | Block]:
    """own_keyring()."""
    described = Call("keyctl", "KEYCTL_DESCRIBE", "<key>", "<memory>", "512")
    set_ = Call("keyctl", "KEYCTL_SETPERM", "<key>", "<permissions>")
    joined = Call("keyctl", "KEYCTL_JOIN_SESSION_KEYRING", name)
    return [joined, Block("it is allowed", described, Block("it is described", set_))]


def _send(_: Operation, given: list[Operand], notation: Notation) -> list[Call | Block]:
    socket, fd = notation.descriptor(given[0]), notation.descriptor(given[1])
    return [Call("sendmsg", socket, f"{{{notation.string(given[2])}, SCM_RIGHTS [{fd}]}}",
                 "MSG_DONTWAIT|MSG_NOSIGNAL")]  # fmt: skip


def _nothing(_: Operation, _given: list[Operand], _notation: Notation) -> list[Call | Block]:
    return []


def _clone(_: Operation, given: list[Operand], notation: Notation) -> list[Call | Block]:
    flags, cgroup, words = given[0].value, notation.descriptor(given[1]), ""
    closed: list[Call | Block] = []
    if cgroup != "-1":
        flags |= 1 << 33
        words = f", cgroup={cgroup}"
        closed = [Call("close", cgroup)]
    told = "0" if flags & c.CLONE_PARENT else "SIGCHLD"
    request = f"{{flags={n.flags(flags, n.CLONE)}, exit_signal={told}{words}}}"
    return [Call("clone3", request, "88"), *closed]


def _hook(_: Operation, _given: list[Operand], _notation: Notation) -> list[Call | Block]:
    started = Call("pipe2", "<ends>", "O_CLOEXEC"), Call("getpid"), Call("clone", "SIGCHLD")
    waited = Block("it was not executed", Call("wait4", "<pid>", "<status>", "0", "NULL"))
    heard = Call("read", "<end>", "<memory>", "8"), waited, Call("close", "<end>")
    return [*started, Call("close", "<end>"), *heard]


def _wait(_: Operation, given: list[Operand], _notation: Notation) -> list[Call | Block]:
    limited: list[Call | Block] = []
    if given[1].number >= 0:
        killed = Block("its time is over", Call("kill", "<pid>", "SIGKILL"))
        limited = [Call("pidfd_open", "<pid>", "0"), Call("ppoll", "<pidfd>", "1", "<limit>"),
                   killed, Call("close", "<pidfd>")]  # fmt: skip
    return [*limited, Call("wait4", "<pid>", "<status>", "0", "NULL")]


def _execute(_: Operation, given: list[Operand], notation: Notation) -> list[Call | Block]:
    fd = notation.descriptor(given[0])
    words = "PROT_READ|PROT_WRITE", "MAP_PRIVATE|MAP_ANONYMOUS", "-1", "0"
    memory = Call("mmap", "NULL", "<size>", *words)
    return [memory, memory, Call("execveat", fd, '""', "<oci-init's words>", "<environment>",
                                 "AT_EMPTY_PATH")]  # fmt: skip


MAKERS: dict[int, Callable[[Operation, list[Operand], Notation], list[Call | Block]]] = {
    p.CALL: _call, p.OPEN: _open, p.DIRECTORY: _directory, p.FILE: _file, p.ITSELF: _itself,
    p.DEVICE: _device, p.SYMLINK: _symlink, p.FILESYSTEM: _filesystem, p.ATTACH: _attach,
    p.KIND: _kind, p.NODE: _kind, p.EMPTY: _empty, p.PROGRAM: _program, p.HOME: _home,
    p.KEYRING: _keyring, p.SEND: _send, p.TAKE: _nothing, p.CLONE: _clone, p.HOOK: _hook,
    p.WAIT: _wait, p.EXECUTE: _execute, p.ON: _on, p.MASK_PATH: _mask, p.READONLY: _readonly,
    p.PLACE: _where, p.DEV: _dev,
}  # fmt: skip
