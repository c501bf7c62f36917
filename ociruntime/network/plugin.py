"""The side of a plugin that its callers see: environment and standard input, result or error on
standard output (CNI spec section 2).
"""

from __future__ import annotations

from ociruntime import hostos as os
from ociruntime.bundle import parse_settings, read_all
from ociruntime.errors import OciError, SpecError
from ociruntime.jsontext import dumps
from ociruntime.network import cni
from ociruntime.network.cni import CniError, PluginCall
from ociruntime.network.invoke import FUNCTIONS, own_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Json = dict[str, Any]

VARIABLES = (
    "CNI_COMMAND",
    "CNI_CONTAINERID",
    "CNI_NETNS",
    "CNI_IFNAME",
    "CNI_ARGS",
    "CNI_PATH",
)
# command -> variables that it needs besides CNI_COMMAND
NEEDED = {
    "ADD": ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"),
    "DEL": ("CNI_CONTAINERID", "CNI_IFNAME", "CNI_PATH"),
    "CHECK": ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"),
    "GC": ("CNI_PATH",),
    "STATUS": ("CNI_PATH",),
}


def serve(kind: str) -> int:
    """Be the plugin ``kind`` for one call; the exit status."""
    environment = {name: os.getenv(name) or "" for name in VARIABLES}
    version = cni.VERSION
    try:
        try:
            config = parse_settings(read_all(0, "configuration"), "configuration")
        except (SpecError, OSError) as error:
            raise CniError(cni.UNDECODABLE, str(error)) from None
        given = config.get("cniVersion")
        version = given if given in cni.SUPPORTED else version
        document = answer(kind, environment, config)
    except CniError as error:
        document = error.document(version)
    except (OciError, OSError) as error:
        document = CniError(cni.IO_FAILURE, f"{kind}: {error}").document(version)
    except Exception as error:  # noqa: BLE001 - the last resort: the caller wants JSON
        text = f"{kind}: internal error: {type(error).__name__}: {error}"
        document = CniError(cni.REFUSED, text).document(version)
    if document:
        os.write(1, dumps(document).encode() + b"\n")
    return 1 if "code" in document else 0


def answer(kind: str, environment: dict[str, str], config: Json) -> Json:
    """What the call described by ``environment`` and ``config`` results in. Raises ``CniError``."""
    command = environment.get("CNI_COMMAND", "")
    if command == "VERSION":
        return {"cniVersion": cni.VERSION, "supportedVersions": list(cni.SUPPORTED)}
    request = _request(command, environment, config)
    version = cni.check_version(config.get("cniVersion"))
    module = own_module(kind)
    result: Json | None = getattr(module, FUNCTIONS[command])(request)
    return as_version(result, version) if result else {}


def as_version(result: Json, version: str) -> Json:
    """A result in the form of ``version``: before 1.0.0 each address says its IP version."""
    result = {"cniVersion": version, **result}
    if version < "1.0.0" and result.get("ips"):
        result["ips"] = [
            {"version": "6" if ":" in entry["address"] else "4", **entry} for entry in result["ips"]
        ]
    return result


def _request(command: str, environment: dict[str, str], config: Json) -> PluginCall:
    if command not in NEEDED:
        words = ", ".join([*NEEDED, "VERSION"])
        raise CniError(cni.BAD_ENVIRONMENT, f"CNI_COMMAND {command!a}: use one of {words}")
    missing = [name for name in NEEDED[command] if not environment.get(name)]
    if missing:
        raise CniError(cni.BAD_ENVIRONMENT, f"{command} needs {', '.join(missing)}")
    container = environment.get("CNI_CONTAINERID", "")
    if container and not cni.is_cni_id(container):
        raise CniError(cni.BAD_ENVIRONMENT, f"CNI_CONTAINERID {container!a} is no container id")
    device = environment.get("CNI_IFNAME", "")
    if device and not cni.is_device_name(device):
        raise CniError(cni.BAD_ENVIRONMENT, f"CNI_IFNAME {device!a} is no name of a device")
    name = config.get("name")
    if not isinstance(name, str) or not cni.is_cni_id(name):
        raise CniError(cni.BAD_CONFIG, f"name {name!a} is no name of a network")
    return PluginCall(
        command,
        container,
        environment.get("CNI_NETNS", ""),
        device,
        environment.get("CNI_PATH", ""),
        config,
        environment.get("CNI_ARGS", ""),
    )
