"""What a step is.

A step is data until the executor calls ``execute``. It runs in one of two processes: the *host*
side is the command itself, the *container* side is the init process inside the new namespaces. The
order of the plan is the order of execution across both (``process.executor``).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ociruntime.process.run import Run

HOST = "host"
CONTAINER = "container"


class Step:
    """Base of all steps.

    ``kind`` is the stable name in ``plan --format json``; ``side`` says which process executes it;
    ``stage`` groups steps for readers and for ``--trace``; ``pointer`` is the JSON pointer of the
    config value it comes from, empty when the specification itself asks for it; ``label`` are the
    words an error message starts with.
    """

    __slots__ = ("label", "pointer")

    kind = "step"
    side = HOST
    stage = "prepare"
    # The host side calls ``undo`` though the container side executes the step.
    host_undoes = False
    # There is something to wait for before ``execute`` (host side).
    listens = False

    def __init__(self, pointer: str, label: str) -> None:
        self.pointer = pointer
        self.label = label

    def describe(self) -> str:
        """One sentence for a person: what the step will do."""
        return self.label

    def operands(self) -> dict[str, object]:
        """The step's data, ready for JSON."""
        names = [name for cls in type(self).__mro__ for name in getattr(cls, "__slots__", ())]
        return {n: plain(getattr(self, n)) for n in sorted(set(names) - {"label", "pointer"})}

    def as_dict(self) -> dict[str, object]:
        """The step as ``plan --format json`` shows it (schemas/plan.json)."""
        return {
            "step": self.kind,
            "side": self.side,
            "stage": self.stage,
            "pointer": self.pointer,
            "description": self.describe(),
            "operands": self.operands(),
        }

    def execute(self, run: Run) -> None:
        """Do it. ``OSError`` is explained by the executor with ``label``; anything else passes
        through.
        """
        raise NotImplementedError(self.kind)

    def listen(self, run: Run) -> Iterator[int]:
        """What comes before ``execute`` where ``listens`` says so: each descriptor that comes
        becomes readable when there is a reason to go on, for those who have other things to do.
        """
        raise NotImplementedError(self.kind)

    def undo(self, run: Run) -> None:
        """Take back what ``execute`` left outside of this process and the container's namespaces.

        Called in reverse order after a later step failed, also when ``execute`` itself failed
        half-way; must not raise. Open fds need no undo: they end with the process.
        """

    def explain(self, number: int) -> str:
        """What errno ``number`` means *here*, with the cure; empty when the errno speaks for
        itself.
        """
        return ""


class ContainerStep(Step):
    """A step that init executes inside the container's namespaces."""

    __slots__ = ()

    side = CONTAINER
    stage = "rootfs"


def plain(value: object) -> object:
    """``value`` as something JSON can say."""
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    slots = [name for cls in type(value).__mro__ for name in getattr(cls, "__slots__", ())]
    return {name: plain(getattr(value, name)) for name in sorted(slots)}
