"""The options that an engine's configuration gives for a runtime.

runc's are accepted as they are, so that an existing section of containerd's config.toml works. For
runtimes it does not know, containerd's CRI plugin sends the section as TOML instead.
"""

from __future__ import annotations

from ociruntime.bundle import read_file
from ociruntime.errors import SpecError
from ociruntime.protobuf import WireError
from ociruntime.shim import ttrpc
from ociruntime.shim.messages import (
    CRI_OPTIONS,
    CRI_OPTIONS_URL,
    OLD_OPTIONS,
    OLD_OPTIONS_URL,
    RUNC_OPTIONS,
    RUNC_OPTIONS_URL,
)
from ociruntime.shim.ttrpc import RpcError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DEFAULT_ROOT = "/run/containerd/ociruntime"
# Whose daemon it is (``shared``).
POD, NAMESPACE = "pod", "namespace"
# Names in config.toml.
TOML_NAMES = {
    "NoPivotRoot": "no_pivot_root",
    "NoNewKeyring": "no_new_keyring",
    "ShimCgroup": "shim_cgroup",
    "IoUid": "io_uid",
    "IoGid": "io_gid",
    "Root": "root",
    "SystemdCgroup": "systemd_cgroup",
    "CriuPath": "criu_path",
    "CriuWorkPath": "criu_work_path",
    "Daemon": "daemon",
}


class ShimOptions:
    """What of the options concerns us: runc's binary does not."""

    __slots__ = (
        "criu_path", "criu_work_path", "daemon", "io_gid", "io_uid", "no_new_keyring",
        "no_pivot_root", "root", "shim_cgroup", "systemd_cgroup",
    )  # fmt: skip

    def __init__(self, values: dict[str, Any]) -> None:
        self.no_pivot_root = bool(values.get("no_pivot_root"))
        self.no_new_keyring = bool(values.get("no_new_keyring"))
        self.shim_cgroup = str(values.get("shim_cgroup") or "")
        self.io_uid = int(values.get("io_uid") or 0)
        self.io_gid = int(values.get("io_gid") or 0)
        self.root = str(values.get("root") or DEFAULT_ROOT)
        self.systemd_cgroup = bool(values.get("systemd_cgroup"))
        self.criu_path = str(values.get("criu_path") or "")
        self.criu_work_path = str(values.get("criu_work_path") or "")
        self.daemon = str(values.get("daemon") or POD)
        check_daemon(self.daemon, "Daemon")


def check_daemon(wanted: str, what: str) -> None:
    """Raise ``RpcError`` unless it is one of the two."""
    if wanted not in (POD, NAMESPACE):
        text = f'{what} = "{wanted}": use "{POD}" or "{NAMESPACE}"'
        raise RpcError(ttrpc.INVALID_ARGUMENT, text)


def read_options(message: dict[str, Any] | None) -> ShimOptions:
    """The options in an ``Any``; defaults without one. Raises ``RpcError``."""
    if not message or not message["type_url"]:
        return ShimOptions({})
    url = message["type_url"].rsplit("/", 1)[-1]
    try:
        if url == RUNC_OPTIONS_URL:
            return ShimOptions(RUNC_OPTIONS.decode(message["value"]))
        if url == OLD_OPTIONS_URL:
            return ShimOptions(OLD_OPTIONS.decode(message["value"]))
        if url == CRI_OPTIONS_URL:
            return ShimOptions(_toml(CRI_OPTIONS.decode(message["value"])))
    except (WireError, ValueError, TypeError, SpecError) as error:
        raise RpcError(ttrpc.INVALID_ARGUMENT, f"runtime options {url}: {error}") from None
    text = f"runtime options of type {url}: use {RUNC_OPTIONS_URL}"
    raise RpcError(ttrpc.INVALID_ARGUMENT, text)


def plain(text: str) -> dict[str, Any] | None:
    """What most options are, tables without tables of strings, integers and booleans, one a line;
    None for all else, which is tomllib's: importing that takes longer than all that `start` does
    otherwise, for every pod, and megabytes of the daemon.
    """
    found: dict[str, Any] = {}
    for line in (each.strip(" \t") for each in text.split("\n")):
        if not line or (line.startswith("#") and line.isprintable()):
            continue
        name, _, value = (part.strip(" \t") for part in line.partition("="))
        if name in found or not name.isascii() or not name.isalnum():
            return None
        if value in ("true", "false"):
            found[name] = value == "true"
        elif value.isascii() and value.isdigit() and (value == "0" or value[0] != "0"):
            found[name] = int(value)
        elif (
            len(value) > 1
            and value[0] == value[-1] == '"'
            and value.isprintable()
            and not {'"', "\\"} & set(value[1:-1])
        ):
            found[name] = value[1:-1]
        else:
            return None
    return found


def _toml(options: dict[str, Any]) -> dict[str, Any]:
    body = options["config_body"]
    if not body and options["config_path"]:
        body = read_file(options["config_path"])
    if not body:
        return {}
    text = body.decode()
    found = plain(text)
    if found is None:
        import tomllib

        found = tomllib.loads(text)
    return {TOML_NAMES[name]: value for name, value in found.items() if name in TOML_NAMES}
