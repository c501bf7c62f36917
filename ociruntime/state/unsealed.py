"""A state.json without a checksum: an older version of the runtime wrote it, or somebody by hand.

Nothing proves what it says, so at least each member has the form that commands rely on.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NONE = type(None)
# What every state has, what one of a container that is being made has beside it, and what may be
# there.
NEEDED: dict[str, tuple[type, ...]] = {"status": (str,), "pid": (int,), "start_time": (int,)}
MAKER: dict[str, tuple[type, ...]] = {"pid": (int,), "start_time": (int,)}
OPTIONAL: dict[str, tuple[type, ...]] = {
    "annotations": (dict,),
    "bundle": (str,),
    "cgroup": (dict, NONE),
    "created": (str,),
    "every_process": (dict,),
    "has_process": (bool,),
    "has_seccomp": (bool,),
    "hooks": (list,),
    "labels": (dict,),
    "maker": (dict,),
    "namespaces": (list,),
    "ociVersion": (str,),
    "owner": (str,),
    "pid_file": (str, NONE),
    "rdt": (dict, NONE),
    "root": (list, NONE),
    "rootfs": (str,),
    "seccomp_program": (dict, NONE),
    "seccomp_listener": (dict, NONE),
    "setgroups": (bool,),
    "shared_pid": (bool,),
    "terminal": (bool,),
    "version": (int,),
}


def check_unsealed(data: dict[str, Any]) -> None:
    """Raises ``ValueError`` unless ``data`` has the form of a state."""
    _check("", data, NEEDED)
    if data["status"] == "creating":
        if not isinstance(data.get("maker"), dict):
            raise ValueError("it has no valid maker")
        _check("maker", data["maker"], MAKER)
    _check("", {name: data[name] for name in OPTIONAL if name in data}, OPTIONAL)
    unknown = [name for name in data if name not in NEEDED and name not in OPTIONAL]
    if unknown:
        raise ValueError(f"nobody knows its {unknown[0]!a}")
    texts = [*data.get("hooks", ()), *data.get("namespaces", ())]
    texts += data.get("annotations", {}).values()
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("its hooks, namespaces or annotations are no texts")
    if data.get("cgroup") is not None:
        from ociruntime.cgroups.path import Placement

        try:
            Placement.from_state(data["cgroup"])
        except (KeyError, TypeError, ValueError, AttributeError):
            raise ValueError("it has no valid cgroup") from None


def _check(where: str, data: dict[str, Any], forms: dict[str, tuple[type, ...]]) -> None:
    required = forms is not OPTIONAL
    wrong = [
        name
        for name, kinds in forms.items()
        if (required or name in data) and type(data.get(name)) not in kinds
    ]
    if wrong:
        what = f"{where} {', '.join(wrong)}".strip()
        raise ValueError(f"it has no valid {what}")
