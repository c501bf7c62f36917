"""What a block has for oci-exec alone: how it gets into a running container (native/block.h).

Imported on the hot path.
"""

from __future__ import annotations

import _struct

USER = 1 << 0
KEEP_GROUPS = 1 << 1
HOME = 1 << 2
KNOWN = 1 << 3
JOINED = 1 << 4
RELAYED = 1 << 5
MEMORY = 1 << 6
PERSONA = 1 << 7

HEADER = _struct.Struct("=iI4i14IQ")


class ExecBlock:
    """How oci-exec gets into a container; the descriptors are -1 where there is nothing to join.

    `container` is a pidfd, whose `namespaces` (CLONE_NEW*) are joined; `cgroup` a directory of
    cgroup v2 to be cloned into, `joins` files of v1 to write oneself into; `root` becomes the root
    directory, with `known` (device's major and minor number, inode) only where "/" of the mount
    namespace is neither that nor the same; `keyring` is the name of the session keyring. `console`
    is a stream socket for the master of a terminal of `size` (rows, columns; 0: as it is). `cpus`
    is a mask of those on which the process is made, `memory` a mode and a mask for
    set_mempolicy(2), `persona` what personality(2) takes; masks are whole longs. `flags` are
    this module's, without those that say that something else is there.
    """

    __slots__ = (
        "cgroup",
        "cgroup_namespace",
        "console",
        "container",
        "cpus",
        "flags",
        "joins",
        "keyring",
        "known",
        "memory",
        "namespaces",
        "persona",
        "root",
        "size",
    )

    def __init__(self, keyring: bytes) -> None:
        self.keyring = keyring
        self.container = self.cgroup = self.cgroup_namespace = self.root = self.console = -1
        self.namespaces = 0
        self.flags = 0
        self.joins: list[int] = []
        self.known: tuple[int, int, int] | None = None
        self.size = (0, 0)
        self.cpus = b""
        self.memory: tuple[int, bytes] | None = None
        self.persona: int | None = None

    def descriptors(self) -> list[int]:
        """All that are open."""
        single = (self.container, self.cgroup, self.cgroup_namespace, self.root, self.console)
        return [fd for fd in (*single, *self.joins) if fd >= 0]

    def pack(self, start: int) -> bytes:
        """struct block_exec, for the place where it is alone, and what it points to behind it."""
        flags = self.flags
        if self.known is not None:
            flags |= KNOWN
        if self.memory is not None:
            flags |= MEMORY
        if self.persona is not None:
            flags |= PERSONA
        mode, nodes = self.memory or (0, b"")
        cpus_offset = start + HEADER.size
        nodes_offset = cpus_offset + len(self.cpus)
        joins_offset = nodes_offset + len(nodes)
        header = HEADER.pack(
            self.container,
            self.namespaces,
            self.cgroup,
            self.cgroup_namespace,
            self.root,
            self.console,
            flags,
            joins_offset + 4 * len(self.joins),
            len(self.joins),
            joins_offset,
            len(self.cpus) // 8,
            cpus_offset,
            len(nodes) // 8,
            nodes_offset,
            mode,
            self.persona or 0,
            *self.size,
            *(self.known or (0, 0, 0)),
        )
        joins = _struct.pack(f"={len(self.joins)}i", *self.joins)
        packed = header + self.cpus + nodes + joins + terminated(self.keyring)
        # What follows is aligned as if this block was not there.
        return packed + bytes(-len(packed) % 8)


def terminated(text: bytes) -> bytes:
    """``text`` as a C string; raises ValueError for one with a NUL inside."""
    if b"\0" in text:
        raise ValueError(f"{text!r} contains a NUL byte")
    return text + b"\0"
