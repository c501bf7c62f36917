"""The mappings inside crun's mount option ``idmap=uids=0-100000-10#10-0-1;gids=@0-5-10``.

Each part is first-second-size, as a line of /proc/PID/uid_map: an id as the filesystem has it, the
id it becomes, and how many. Behind ``@`` the second is an id of the container and its place on the
host is looked up in the container's own mappings. Imported for configs with such an option.
"""

from __future__ import annotations

from ociruntime.spec.fault import is_decimal

TYPE_CHECKING = False
if TYPE_CHECKING:
    Mapping = tuple[int, int, int]

SYNTAX = "idmap=uids=ID-ID-SIZE#...;gids=ID-ID-SIZE#..."
# (uid_t) -1 is no id (user_namespaces(7)).
ID_MAX = 0xFFFFFFFE


def mappings_of(
    option: str, uid_maps: list[Mapping], gid_maps: list[Mapping]
) -> tuple[list[Mapping], list[Mapping]]:
    """(uid mappings, gid mappings) as in the mount's uidMappings and gidMappings.

    Parameters: ``uid_maps`` and ``gid_maps`` are the container's, as (container id, host id, size).
    Raises ``ValueError`` whose text says what is wrong.
    """
    found: dict[str, list[Mapping]] = {}
    for part in option.partition("=")[2].split(";"):
        name, equals, text = part.partition("=")
        if not equals or name not in ("uids", "gids") or name in found:
            raise ValueError(f"{part!a} is not one of uids= and gids=, each once")
        relative = text.startswith("@")
        entries = [_entry(entry) for entry in text.removeprefix("@").split("#")]
        if relative:
            maps = uid_maps if name == "uids" else gid_maps
            entries = [piece for entry in entries for piece in _absolute(entry, maps)]
        found[name] = entries
    for name in ("uids", "gids"):
        if name not in found:
            raise ValueError(f"{name}= is missing")
    return found["uids"], found["gids"]


def _entry(text: str) -> Mapping:
    numbers = text.split("-")
    if len(numbers) != 3 or not all(map(is_decimal, numbers)):
        raise ValueError(f"{text!a} is not ID-ID-SIZE")
    first, second, size = map(int, numbers)
    if not size or max(first, second) + size - 1 > ID_MAX:
        raise ValueError(f"{text!a} goes beyond {ID_MAX}, or has no size")
    return first, second, size


def _absolute(entry: Mapping, maps: list[Mapping]) -> list[Mapping]:
    """The entry with ids of the host, cut where the container's own mappings are."""
    first, second, size = entry
    pieces = []
    while size:
        for inside, outside, length in maps:
            if inside <= second < inside + length:
                taken = min(size, inside + length - second)
                pieces.append((first, outside + second - inside, taken))
                first, second, size = first + taken, second + taken, size - taken
                break
        else:
            raise ValueError(f"{second} behind @ is not mapped in the container")
    return pieces
