"""Who the process of a container is going to be."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DEFAULT_UMASK = 0o022


class Identity:
    """What oci-init takes on right before it executes the program.

    Capability sets are masks, bit n for capability n. ``groups`` is None where setgroups(2) is
    forbidden. ``lsm`` is (attribute file, text) or None. ``all_cpus``: those that the runtime's
    caller was bound to do not count, only the cpuset does.
    """

    __slots__ = (
        "all_cpus",
        "ambient",
        "bounding",
        "effective",
        "gid",
        "groups",
        "inheritable",
        "last_cap",
        "lsm",
        "no_new_privs",
        "permitted",
        "rlimits",
        "uid",
        "umask",
    )

    def __init__(self) -> None:
        self.uid = 0
        self.gid = 0
        self.umask = DEFAULT_UMASK
        self.all_cpus = True
        self.groups: list[int] | None = []
        self.bounding = 0
        self.effective = 0
        self.permitted = 0
        self.inheritable = 0
        self.ambient = 0
        self.last_cap = 0
        self.no_new_privs = False
        # (RLIMIT_*, soft, hard) that oci-init itself sets: for `exec`, whose program nobody holds
        # back.
        self.rlimits: list[tuple[int, int, int]] = []
        self.lsm: tuple[bytes, bytes] | None = None

    def members(self) -> dict[str, Any]:
        """All of it by name, as ``kernel.block.pack_block`` wants it."""
        return {name: getattr(self, name) for name in self.__slots__}
