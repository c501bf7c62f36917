"""Calls a plugin: one of ours within this process, any other as a program (CNI spec section 4).

Ours are programs, too, for other callers; within one process a container costs one start of Python
instead of three.
"""

from __future__ import annotations

import sys

from ociruntime import hostos as os
from ociruntime.bundle import parse_object
from ociruntime.errors import OciError, SpecError
from ociruntime.jsontext import dumps
from ociruntime.network import cni
from ociruntime.network.cni import CniError
from ociruntime.network.execute import execute, find_program
from ociruntime.network.forms import without_null

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from ociruntime.network.cni import PluginCall

    Json = dict[str, Any]

# plugin's type -> module that has add, delete, check, gc and status
OWN = {
    "ociruntime-bridge": "ociruntime.network.bridge",
    "ociruntime-ipam": "ociruntime.network.ipam",
}
# Where distributions have the standard plugins.
CNI_PATH = "/usr/lib/cni:/opt/cni/bin:/usr/libexec/cni"
FUNCTIONS = {"ADD": "add", "DEL": "delete", "CHECK": "check", "GC": "gc", "STATUS": "status"}
LONGEST_STDERR = 400


def default_path() -> str:
    """CNI_PATH where nobody names another: the usual directories, and behind them the one that this
    program is in, with our plugins for others to call (the standard bridge has our ipam so).
    """
    places = [os.path.dirname(os.readlink("/proc/self/exe")), os.path.dirname(sys.argv[0])]
    for place in places:
        if place.startswith("/") and os.access(os.path.join(place, "ociruntime-ipam"), os.X_OK):
            return f"{CNI_PATH}:{place}"
    return CNI_PATH


def own_module(kind: str) -> ModuleType | None:
    """The module that serves one of our plugins, None for others."""
    name = OWN.get(kind)
    if name is None:
        return None
    module: ModuleType = __import__(name, None, None, ["add"])
    return module


def call_plugin(kind: str, request: PluginCall) -> Json:
    """The plugin's result, empty for commands without one. Raises ``CniError``."""
    module = own_module(kind)
    if module is None:
        return _call_program(kind, request)
    # Others get what the file says; ours, which are no programs here, what they would read.
    request = request.with_config(without_null(request.config))
    result: Json | None = getattr(module, FUNCTIONS[request.command])(request)
    return result or {}


def _call_program(kind: str, request: PluginCall) -> Json:
    if not cni.is_cni_id(kind):
        raise CniError(cni.BAD_CONFIG, f"type {kind!a} is no name of a plugin")
    program = find_program(kind, request.path)
    if program is None:
        raise CniError(
            cni.NOT_AVAILABLE,
            f"plugin {kind} is in none of the directories {request.path}",
            "install it (Debian's package containernetworking-plugins), or name its directory "
            "with --cni-path",
        )
    text = dumps(request.config).encode()
    label = f"plugin {kind} ({request.command})"
    try:
        done = execute([program], request.environment(), text)
    except OSError as error:
        raise CniError(cni.IO_FAILURE, f"{label}: {program}: {error.strerror}") from None
    except OciError as error:
        raise CniError(cni.TRY_AGAIN, f"{label}: {error}") from None
    if done.status:
        raise _failure(label, done.status, done.output, done.errors)
    if not done.output.strip():
        return {}
    try:
        return parse_object(done.output, label)
    except SpecError as error:
        raise CniError(cni.UNDECODABLE, f"{label}: its result cannot be read: {error}") from None


def _failure(label: str, status: int, output: bytes, errors: str) -> CniError:
    """The plugin's own error with what it said besides."""
    said = f"it said: {' | '.join(errors[-LONGEST_STDERR:].splitlines())}" if errors else ""
    try:
        document = parse_object(output, label)
        code, message = int(document["code"]), str(document["msg"])
    except (SpecError, KeyError, TypeError, ValueError):
        how = f"exit status {status}" if status > 0 else f"signal {-status}"
        return CniError(cni.REFUSED, f"{label} failed with {how}", said)
    details = "; ".join(part for part in (str(document.get("details") or ""), said) if part)
    return CniError(code, f"{label}: {message} (code {code})", details)
