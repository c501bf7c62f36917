r"""Reading /proc/PID/mountinfo (proc_pid_mountinfo(5)).

Its fields have blanks, tabs, line feeds and backslashes as ``\040``, ``\011``, ``\012``, ``\134``;
everything else stands as it is, characters included that ``str.splitlines`` takes for line ends.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container


def unescape(field: str) -> str:
    r"""Undo the octal escapes of one field, each once: ``\134040`` is ``\040``, not a blank."""
    if "\\" not in field:
        return field
    head, *tail = field.split("\\")
    return head + "".join(chr(int(part[:3], 8)) + part[3:] for part in tail)


def mount_points(mountinfo: str, filesystems: Container[str] | None = None) -> list[str]:
    """Where filesystems of these types, or any, are mounted, in the order of ``mountinfo``."""
    places = []
    for line in mountinfo.split("\n"):
        left, _, right = line.partition(" - ")
        if right and (filesystems is None or right.partition(" ")[0] in filesystems):
            places.append(unescape(left.split(" ", 5)[4]))
    return places
