"""The processes of the model that ``calls`` works on, and their descriptors."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tests.support.model.files import Namespace, Node


class Handle:
    """What a descriptor refers to: a node, open with ``flags`` at ``offset``; or something with
    ``extra`` instead.
    """

    __slots__ = ("cgroup", "extra", "flags", "name", "node", "offset")

    def __init__(self, node: Node, flags: int = 0, extra: object = None) -> None:
        self.node = node
        self.flags = flags
        self.extra = extra
        self.offset = 0
        self.cgroup: Node | None = None
        self.name = ""


class Process:
    """A process of the model; ``result`` is its end as (si_code, si_status), None while it
    lives.
    """

    __slots__ = ("cgroups", "cwd", "fds", "namespace", "pid", "reaped", "result")

    def __init__(self, pid: int, namespace: Namespace) -> None:
        self.pid = pid
        self.namespace = namespace
        self.cwd = namespace.root
        self.fds: dict[int, Handle] = {}
        self.cgroups: list[Node] = []
        self.result: tuple[int, int] | None = None
        self.reaped = False
