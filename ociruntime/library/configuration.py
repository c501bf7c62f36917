"""The configuration of a bundle that a program makes: what ``spec`` writes, with its wishes."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from typing import Any

from ociruntime.errors import UsageError
from ociruntime.library import arguments
from ociruntime.library.options import ConfigOptions
from ociruntime.spec.default import default_config, rootless_config
from ociruntime.state.store import Store, default_root

# The keywords that are no members of config.json.
SHORT = ("memory", "cpus", "pids", "env", "cwd", "user", "terminal", "net", "publish")


class BundlePlace:
    """Where a bundle is to be: ``path``; ``launcher`` (None: the installed one) and ``root`` (None:
    the default) are those of the runtime it is for.
    """

    def __init__(self, path: str, launcher: str | None = None, root: str | None = None) -> None:
        self.path = path
        self.launcher = launcher
        self.root = root


def configuration(
    place: BundlePlace, rootfs: object, args: object, options: ConfigOptions
) -> dict[str, Any]:
    """The configuration for ``args`` in ``rootfs``.

    Raises ``TypeError`` for a wrong type or an unknown name, ``ValueError`` for what means nothing,
    ``OciError`` for networks that are not there.
    """
    arguments.check_keywords("bundle", options, ConfigOptions.__annotations__)
    command = arguments.command(args)
    if not isinstance(rootfs, (str, os.PathLike)):
        raise TypeError(f"rootfs: give the path of a directory, not {rootfs!r}")
    given: dict[str, Any] = dict(options)
    short = {name: given.pop(name) for name in SHORT if given.get(name) is not None}
    config = _default()
    config["process"].update(args=command, terminal=False)
    config["root"]["path"] = os.path.abspath(os.fsdecode(rootfs))
    config = merged(config, given)
    _shorten(config, short)
    if "net" in short:
        _connect(config, place, short, given.get("hostname"))
    elif "publish" in short:
        raise ValueError('publish: needs a network; give net="bridge"')
    arguments.check_names("bundle", config, "config")
    return config


def merged(document: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """``document`` with ``changes``: objects member by member, anything else is replaced, and None
    removes; neither is changed.
    """
    result = dict(document)
    for name, value in changes.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, Mapping):
            kept = result.get(name)
            result[name] = merged(kept if isinstance(kept, dict) else {}, value)
        else:
            result[name] = copy.deepcopy(value)
    return result


def _default() -> dict[str, Any]:
    if os.geteuid() == 0:
        return default_config()
    return rootless_config(os.geteuid(), os.getegid())


def _shorten(config: dict[str, Any], short: dict[str, Any]) -> None:
    """Bring the keywords that stand for something deep inside there."""
    numbers = {name: short[name] for name in ("memory", "cpus", "pids") if name in short}
    if numbers:
        linux = config.setdefault("linux", {})
        linux["resources"] = merged(linux.get("resources") or {}, arguments.limits(**numbers))
    process = config.get("process") or {}
    if "env" in short:
        added = arguments.environment(short["env"])
        kept = [entry for entry in process.get("env", ()) if entry.partition("=")[0] not in added]
        process["env"] = kept + [f"{name}={value}" for name, value in added.items()]
    if "cwd" in short:
        if not isinstance(short["cwd"], str):
            raise TypeError(f"cwd: give a path in the container, not {short['cwd']!r}")
        process["cwd"] = short["cwd"]
    if "user" in short:
        process["user"] = arguments.user(short["user"])
    if "terminal" in short:
        if not isinstance(short["terminal"], bool):
            raise TypeError(f"terminal: give True or False, not {short['terminal']!r}")
        process["terminal"] = short["terminal"]


def _connect(
    config: dict[str, Any], place: BundlePlace, short: dict[str, Any], hostname: str | None
) -> None:
    from ociruntime.network.configure import HOOK, Wish, configure
    from ociruntime.zygote.launcher import find_launcher

    launcher = place.launcher or find_launcher()
    hook = os.path.join(os.path.dirname(launcher), HOOK)
    published = _list("publish", short.get("publish", ()))
    wish = Wish(_list("net", short["net"]), published, hostname or "")
    try:
        configure(config, wish, hook, place.path, Store(place.root or default_root()))
    except UsageError as error:
        raise ValueError(str(error).replace("--", "")) from None


def _list(name: str, given: object) -> list[str]:
    entries = [given] if isinstance(given, str) else given
    if not isinstance(entries, Sequence) or any(not isinstance(entry, str) for entry in entries):
        raise TypeError(f"{name}: give a string, or a list of them, not {given!r}")
    return list(entries)
