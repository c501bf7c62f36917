"""Id mappings of a config (config-linux.md#user-namespace-mappings), as numbers."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.spec.documents import Config, IDMappingConfig


def mappings(entries: list[IDMappingConfig] | None) -> list[tuple[int, int, int]]:
    """Id mappings as (container id, host id, size)."""
    return [(entry["containerID"], entry["hostID"], entry["size"]) for entry in entries or ()]


def host_id(maps: list[tuple[int, int, int]], number: int) -> int | None:
    """The host's id for a container id, None when it is not mapped."""
    for inside, outside, size in maps:
        if inside <= number < inside + size:
            return outside + number - inside
    return None


def host_user(config: Config) -> tuple[int, bool]:
    """(who the host knows the process's user as, -1 where the config does not say; whether there is
    a user namespace).
    """
    uid = ((config.get("process") or {}).get("user") or {}).get("uid", 0)
    linux = config.get("linux") or {}
    for entry in linux.get("namespaces") or ():
        if entry["type"] == "user":
            known = None if entry.get("path") else host_id(mappings(linux.get("uidMappings")), uid)
            return -1 if known is None else known, True
    return uid, False


def is_own_id(maps: list[tuple[int, int, int]], own: int) -> bool:
    """Whether ``maps`` is one id, the caller's own: what the kernel grants everybody
    (user_namespaces(7)).
    """
    return len(maps) == 1 and maps[0][1:] == (own, 1)
