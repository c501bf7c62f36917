"""What the Container Network Interface specification says to both sides: versions, error codes,
and the request a plugin gets (CNI spec 1.1.0, sections 2 and 5).
"""

from __future__ import annotations

from ociruntime.errors import OciError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Json = dict[str, Any]

VERSION = "1.1.0"
SUPPORTED = ("0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
# From which version on a command exists.
SINCE = {"CHECK": "0.4.0", "GC": "1.1.0", "STATUS": "1.1.0"}

# "Well-known Error Codes"; from 100 on they are the plugin's own.
INCOMPATIBLE_VERSION = 1
UNSUPPORTED_FIELD = 2
UNKNOWN_CONTAINER = 3
BAD_ENVIRONMENT = 4
IO_FAILURE = 5
UNDECODABLE = 6
BAD_CONFIG = 7
TRY_AGAIN = 11
NOT_AVAILABLE = 50
NO_ADDRESS = 100
PORT_TAKEN = 101
FOREIGN_ADDRESS = 102
REFUSED = 110

ID_ALPHABET = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.")
DEVICE_LONGEST = 15


class CniError(OciError):
    """A failure as plugins report it: a ``code``, the message, and ``details``."""

    def __init__(self, code: int, message: str, details: str = "") -> None:
        super().__init__(f"{message}; {details}" if details else message)
        self.code = code
        self.message = message
        self.details = details

    def document(self, version: str) -> Json:
        """The error as JSON for standard output."""
        found = {"cniVersion": version, "code": self.code, "msg": self.message}
        return found | ({"details": self.details} if self.details else {})


class PluginCall:
    """One call of a plugin.

    ``container`` is the id, ``netns`` the path of the network namespace (empty when it is gone),
    ``device`` the name of the interface in it, ``path`` the directories with plugins.
    """

    __slots__ = ("arguments", "command", "config", "container", "device", "netns", "path")

    def __init__(
        self,
        command: str,
        container: str,
        netns: str,
        device: str,
        path: str,
        config: Json,
        arguments: str = "",
    ) -> None:
        self.command = command
        self.container = container
        self.netns = netns
        self.device = device
        self.path = path
        self.config = config
        self.arguments = arguments

    def with_config(self, config: Json) -> PluginCall:
        """The same call with another configuration, for a plugin that is called by a plugin."""
        return PluginCall(
            self.command, self.container, self.netns, self.device, self.path, config, self.arguments
        )

    @property
    def network(self) -> str:
        """The network's name."""
        name: str = self.config["name"]
        return name

    def runtime(self, capability: str) -> Any:
        """What the caller gives for a capability, None when nothing."""
        return self.config.get("runtimeConfig", {}).get(capability)

    def environment(self) -> dict[str, str]:
        """All a plugin finds in its environment."""
        return {
            "CNI_COMMAND": self.command,
            "CNI_CONTAINERID": self.container,
            "CNI_NETNS": self.netns,
            "CNI_IFNAME": self.device,
            "CNI_ARGS": self.arguments,
            "CNI_PATH": self.path,
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        }


def check_version(version: object) -> str:
    """``version`` if we speak it; raises ``CniError``."""
    if version not in SUPPORTED:
        raise CniError(
            INCOMPATIBLE_VERSION,
            f"cniVersion {version!a} is not supported",
            f"use one of {', '.join(SUPPORTED)}",
        )
    assert isinstance(version, str)
    return version


def knows(version: str, command: str) -> bool:
    """Whether ``command`` exists in this version of the specification."""
    since = SINCE.get(command, SUPPORTED[0])
    return SUPPORTED.index(version) >= SUPPORTED.index(since)


def is_device_name(name: str) -> bool:
    """Whether the kernel takes ``name`` for a network device, and no path is hidden in it."""
    if not 0 < len(name) <= DEVICE_LONGEST or name in (".", ".."):
        return False
    return name.isascii() and name.isprintable() and not set("/: %\\").intersection(name)


def is_cni_id(text: str) -> bool:
    """Whether ``text`` is a container id, or a network's name, as the specification wants it."""
    return bool(text) and text[0].isalnum() and ID_ALPHABET.issuperset(text)
