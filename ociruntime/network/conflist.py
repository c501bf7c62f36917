"""Network configurations: where they are, and what they must have (CNI spec section 1)."""

from __future__ import annotations

from ociruntime import hostos as os
from ociruntime.bundle import parse_object, read_file
from ociruntime.errors import OciError, SpecError
from ociruntime.network import cni
from ociruntime.network.cni import CniError
from ociruntime.network.forms import check_network

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Json = dict[str, Any]

DIRECTORIES = ("/etc/ociruntime/networks", "/etc/cni/net.d")
ENDINGS = (".conflist", ".conf", ".json")

# The network of `--net bridge` where nobody configured another of this name.
BRIDGE: Json = {
    "cniVersion": "1.1.0",
    "name": "bridge",
    "plugins": [
        {
            "type": "ociruntime-bridge",
            "bridge": "ociruntime0",
            "isDefaultGateway": True,
            "ipMasq": True,
            "hairpinMode": True,
            "capabilities": {"portMappings": True, "mac": True, "ips": True},
            "ipam": {"type": "ociruntime-ipam", "ranges": [[{"subnet": "10.87.0.0/16"}]]},
        }
    ],
}


class Network:
    """A checked network configuration: ``document`` is a conflist, its ``cniVersion`` the highest
    that it allows and we know, ``versions`` are all of those, lowest first.
    """

    __slots__ = ("document", "versions")

    def __init__(self, document: Json, source: str, *, stored: bool = False) -> None:
        """Raises ``OciError``. One that was ``stored`` is not looked into: what was begun with it
        must be taken back with it.
        """
        if "plugins" not in document and "type" in document:
            plugin = document
            document = {
                "cniVersion": document.get("cniVersion"),
                "name": document.get("name"),
                "plugins": [plugin],
            }
        self.versions = _versions(document, source)
        document = document | {"cniVersion": self.versions[-1]}
        name = document.get("name")
        if not isinstance(name, str) or not cni.is_cni_id(name):
            raise OciError(
                f"{source}: name {name!a} is no name of a network; use letters, digits and _ . -"
            )
        plugins = document.get("plugins")
        if not isinstance(plugins, list) or not plugins:
            raise OciError(f"{source}: it has no plugins")
        for number, plugin in enumerate(plugins):
            if not isinstance(plugin, dict) or not isinstance(plugin.get("type"), str):
                raise OciError(f"{source}: plugins[{number}] has no type")
        if not stored:
            try:
                check_network(document)
            except CniError as error:
                raise OciError(f"{source}: {error}") from None
        self.document = document

    @property
    def name(self) -> str:
        name: str = self.document["name"]
        return name

    @property
    def version(self) -> str:
        version: str = self.document["cniVersion"]
        return version

    @property
    def plugins(self) -> list[Json]:
        plugins: list[Json] = self.document["plugins"]
        return plugins

    def plugin_config(self, plugin: Json, previous: Json | None, runtime: Json) -> Json:
        """What one plugin gets: its part, and of what the ``runtime`` offers that for which it
        declares the capability.
        """
        config = {name: value for name, value in plugin.items() if name != "capabilities"}
        config["cniVersion"], config["name"] = self.version, self.name
        declared = plugin.get("capabilities") or {}
        offered = {name: value for name, value in runtime.items() if declared.get(name)}
        if offered:
            config["runtimeConfig"] = offered
        if previous is not None:
            config["prevResult"] = previous
        return config



def _versions(document: Json, source: str) -> list[str]:
    """Those that can be used ("cniVersions" has all that are possible). Raises ``OciError``."""
    given = document.get("cniVersions")
    possible = [document.get("cniVersion"), *(given if isinstance(given, list) else [])]
    known = [version for version in cni.SUPPORTED if version in possible]
    try:
        return known or [cni.check_version(document.get("cniVersion"))]
    except CniError as error:
        raise OciError(f"{source}: {error}") from None


def load_network(name: str, directories: tuple[str, ...] = DIRECTORIES) -> Network:
    """The network ``name``, or the one in the file that ``name`` is the path of. Raises
    ``OciError``.

    A name is looked for in the directories for network configurations; ``bridge`` is built in.
    """
    if "/" in name:
        return _load_file(name)
    for directory in directories:
        for path in _files(directory):
            document = _parse(path)
            if document.get("name") == name:
                return Network(document, path)
    if name == BRIDGE["name"]:
        return Network(BRIDGE, "the built-in network")
    raise OciError(
        f"network {name!a}: none of {', '.join(directories)} has a configuration of this name; "
        "give the path of one, or use bridge"
    )


def _files(directory: str) -> list[str]:
    try:
        names = sorted(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [os.path.join(directory, name) for name in names if name.endswith(ENDINGS)]


def _load_file(path: str) -> Network:
    return Network(_parse(path), path)


def _parse(path: str) -> Json:
    try:
        return parse_object(read_file(path), path)
    except SpecError as error:
        raise OciError(f"network configuration {error}") from None
