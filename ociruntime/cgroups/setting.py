"""One value for one file of a cgroup: what the ``resources`` of both versions
produce and ``Group`` writes.
"""

from __future__ import annotations

# Before the process joins: a CPU set must not be empty and real-time tasks need a budget to be let
# in.
EARLY = "early"
# After set-up, when only the tiny waiting init is inside: so a limit of 512 KiB, or of one process,
# can be met.
LATE = "late"
NO_LIMIT = ("max", "-1")


class Setting:
    """``value`` is to be written to ``file`` of the controller's cgroup.

    ``pointer`` is the JSON pointer it comes from. ``other_file`` takes the value, as
    ``other_value``, when the kernel has no ``file`` (the names of the block weight depend on the
    scheduler). With ``optional`` a kernel without the file has what is asked for already ("no swap
    limit" where swap is not accounted).
    """

    __slots__ = (
        "controller",
        "file",
        "optional",
        "other_file",
        "other_value",
        "phase",
        "pointer",
        "value",
    )

    def __init__(
        self,
        controller: str,
        file: str,
        value: str,
        pointer: str,
        *,
        phase: str = LATE,
        other_file: str = "",
        other_value: str = "",
        optional: bool = False,
    ) -> None:
        self.controller = controller
        self.file = file
        self.value = value
        self.pointer = pointer
        self.phase = phase
        self.other_file = other_file
        self.other_value = other_value
        self.optional = optional

    def as_tuple(self) -> tuple[str, str, str, str]:
        """(controller, file, value, pointer), for tables of tests and for ``plan``."""
        return self.controller, self.file, self.value, self.pointer

    @property
    def is_no_limit(self) -> bool:
        """Whether a new cgroup has this value anyway: no limit."""
        return self.value in NO_LIMIT and not self.file.startswith("cpu.rt_")

    @property
    def label(self) -> str:
        """The start of an error: ``linux.resources.memory.limit (memory.max = 4096)``."""
        return f"{dotted(self.pointer)} ({self.file} = {self.value})"


def dotted(pointer: str) -> str:
    """A JSON pointer as people write it: ``linux.resources.blockIO.weightDevice[0]``."""
    text = ""
    for token in pointer.split("/")[1:]:
        part = token.replace("~1", "/").replace("~0", "~")
        text += f"[{part}]" if part.isdigit() else f".{part}" if text else part
    return text
