"""The file systems of ``recorder.Recorder``: a tree of nodes, in memory, with mounts over it.

Nothing here touches the system. A model is as good as what it refuses: missing names, wrong kinds,
occupied cgroups and paths that would leave a root are errors as in path_resolution(7) and
openat2(2); permissions are not modelled.
"""

from __future__ import annotations

import errno

from ociruntime import hostos as os
from ociruntime.kernel import constants as c

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

MAGIC = {
    "disk": 0xEF53,
    "tmpfs": c.TMPFS_MAGIC,
    "proc": c.PROC_SUPER_MAGIC,
    "sysfs": c.SYSFS_MAGIC,
    "devpts": c.DEVPTS_SUPER_MAGIC,
    "cgroup": c.CGROUP_SUPER_MAGIC,
    "cgroup2": c.CGROUP2_SUPER_MAGIC,
    "mqueue": 0x19800202,
    "nsfs": c.NSFS_MAGIC,
}
# Whose files are there as soon as somebody asks for them; in the first two directories as well.
APPEARING = ("proc", "sysfs", "cgroup", "cgroup2")
FIRST_INO = 1
SYMLINKS_MAX = 40


class Filesystem:
    """A superblock: its type, its device number and the next inode number."""

    __slots__ = ("kind", "minor", "next_ino")

    def __init__(self, kind: str, minor: int) -> None:
        self.kind = kind
        self.minor = minor
        self.next_ino = FIRST_INO


class Node:
    """An inode, or the root of a mount of one: a ``view`` shares everything but its identity.

    ``content`` of a symlink is its target.
    """

    __slots__ = ("children", "content", "fs", "gid", "ino", "mode", "rdev", "uid")

    def __init__(self, fs: Filesystem, mode: int) -> None:
        self.fs = fs
        self.mode = mode
        self.ino = fs.next_ino
        fs.next_ino += 1
        self.uid = self.gid = 0
        self.rdev = (0, 0)
        self.content = bytearray()
        self.children: dict[str, Node] = {}

    @property
    def kind(self) -> int:
        return self.mode & c.S_IFMT

    @property
    def is_directory(self) -> bool:
        return self.kind == c.S_IFDIR

    @property
    def is_cgroup(self) -> bool:
        return self.is_directory and self.fs.kind.startswith("cgroup")

    def add(self, name: str, mode: int) -> Node:
        """Make a child; raises ``FileExistsError``, and ``NotADirectoryError`` when this is no
        directory.
        """
        if not self.is_directory:
            raise refusal(errno.ENOTDIR)
        if name in self.children:
            raise refusal(errno.EEXIST)
        child = self.children[name] = Node(self.fs, mode)
        return child

    def view(self) -> Node:
        """What open_tree(2) OPEN_TREE_CLONE gives: another root for the same tree."""
        made = Node.__new__(Node)
        for name in Node.__slots__:
            setattr(made, name, getattr(self, name))
        return made

    def walk(self, path: str = "") -> Iterator[tuple[str, Node]]:
        """(path, node) of everything below."""
        for name, child in sorted(self.children.items()):
            yield f"{path}/{name}", child
            yield from child.walk(f"{path}/{name}")


class Namespace:
    """A mount namespace: what is mounted over which node, and the root."""

    __slots__ = ("mounts", "root")

    def __init__(self, root: Node) -> None:
        self.root = root
        self.mounts: dict[Node, Node] = {}

    def copy(self) -> Namespace:
        made = Namespace(self.root)
        made.mounts = dict(self.mounts)
        return made

    def top(self, node: Node) -> Node:
        """What is seen where ``node`` is: the root of the uppermost mount over it."""
        while node in self.mounts:
            node = self.mounts[node]
        return node

    def find(self, start: Node, path: str, flags: int = 0, resolve: int = 0) -> Node:
        """The node that ``path`` leads to from ``start``.

        ``flags`` are those of open(2); with RESOLVE_IN_ROOT ``start`` is the root. Raises
        ``OSError``.
        """
        bounded = resolve & (c.RESOLVE_IN_ROOT | c.RESOLVE_BENEATH)
        root = start if bounded else self.top(self.root)
        if path.startswith("/") and resolve & c.RESOLVE_BENEATH:
            raise refusal(errno.EXDEV)
        stack = [root if path.startswith("/") else start]
        parts = [part for part in reversed(path.split("/")) if part not in ("", ".")]
        links = 0
        while parts:
            name = parts.pop()
            if name == "..":
                if len(stack) > 1:
                    stack.pop()
                elif resolve & c.RESOLVE_BENEATH:
                    raise refusal(errno.EXDEV)
                else:
                    stack[0] = self.top(stack[0])
                continue
            node = self.top(child(stack[-1], name, last=not parts, flags=flags))
            if node.kind == c.S_IFLNK and (parts or not flags & c.O_NOFOLLOW):
                links += 1
                if resolve & c.RESOLVE_NO_SYMLINKS or links > SYMLINKS_MAX:
                    raise refusal(errno.ELOOP)
                target = node.content.decode()
                if target.startswith("/"):
                    stack = [root]
                parts += [part for part in reversed(target.split("/")) if part not in ("", ".")]
                continue
            stack.append(node)
        if flags & c.O_DIRECTORY and not stack[-1].is_directory:
            raise refusal(errno.ENOTDIR)
        return stack[-1]


def child(node: Node, name: str, *, last: bool, flags: int) -> Node:
    """The child ``name`` of a directory; files of /proc, /sys and cgroups appear when they are
    asked for.
    """
    if not node.is_directory:
        raise refusal(errno.ENOTDIR)
    found = node.children.get(name)
    if found is not None:
        return found
    directory = not last or bool(flags & c.O_DIRECTORY)
    if node.fs.kind not in APPEARING or (node.is_cgroup and directory):
        raise refusal(errno.ENOENT)
    if directory:
        return node.add(name, c.S_IFDIR | 0o555)
    made = Node(node.fs, c.S_IFREG | 0o644)
    if not node.is_cgroup:
        node.children[name] = made
    return made


def refusal(number: int) -> OSError:
    """The ``OSError`` that ``Kernel.invoke`` raises for an errno."""
    return OSError(number, os.strerror(number))
