"""Options of mounts that are typing errors (cold path).

What is no option of ours is data for the file system, as with mount(8): nobody can tell a wrong one
from one that only that file system knows. But a word that is one slip away from an option of ours
is meant to be that one.
"""

from __future__ import annotations

from functools import cache

from ociruntime.similar import distance, nearest
from ociruntime.spec.fault import WARNING, Fault
from ociruntime.spec.mount_options import known_options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# One slip in a shorter word makes another word.
SHORTEST = 4
# Words of file systems that are near to ours: ext4, xfs, NFS, cgroup.
FILE_SYSTEMS = frozenset({"nouid32", "nosync", "noac", "soft", "bsddf", "memory", "noswap"})


def misspelt_options(document: Any) -> list[Fault]:
    """A warning for each option of a mount that was probably meant to be one of ours."""
    found: list[Fault] = []
    names = _names()
    try:
        for index, mount in enumerate(document["mounts"]):
            for number, option in enumerate(mount.get("options", ())):
                meant = _meant(option, names)
                if meant:
                    found.append(_fault(f"/mounts/{index}/options/{number}", option, meant))
    except (AttributeError, KeyError, TypeError):
        pass  # no mounts, or broken ones, of which the rest is said
    return found


@cache
def _names() -> list[str]:
    return known_options()


def _meant(option: str, names: list[str]) -> str:
    if len(option) < SHORTEST or "=" in option or option in names or option in FILE_SYSTEMS:
        return ""
    meant = nearest(option, names)
    return meant if meant and distance(option.lower(), meant, 2) < 2 else ""


def _fault(place: str, option: str, meant: str) -> Fault:
    return Fault(
        place,
        option,
        f"{option} is no option of mounts, and is left to the file system",
        "config.md#linux-mount-options: options with a meaning of their own",
        f'did you mean "{meant}"?',
        WARNING,
    )
