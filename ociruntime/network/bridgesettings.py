"""The configuration of ociruntime-bridge, checked; and the name of a container's device."""

from __future__ import annotations

from ociruntime import hostos as os
from ociruntime.digest import digest
from ociruntime.network import cni
from ociruntime.network.addresses import AddressError, parse_mac
from ociruntime.network.cni import CniError
from ociruntime.network.files import STATE_DIRECTORY, Directory
from ociruntime.network.forms import check_plugin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.network.cni import PluginCall

DEFAULT_BRIDGE = "ociruntime0"


class Settings:
    """The configuration of one call, checked. Raises ``CniError``."""

    def __init__(self, request: PluginCall) -> None:
        config = request.config
        check_plugin({"type": "ociruntime-bridge"} | config)
        self.bridge: str = config.get("bridge") or DEFAULT_BRIDGE
        # Stricter than the kernel: to packet filters * and + at the end mean every name that
        # begins so, and a quotation mark ends it.
        if not (cni.is_device_name(self.bridge) and cni.is_cni_id(self.bridge)):
            raise CniError(
                cni.BAD_CONFIG,
                f"bridge {self.bridge!a} is no name of a bridge",
                f"use at most {cni.DEVICE_LONGEST} letters, digits and _ . -",
            )
        for name in ("vlan", "vlanTrunk", "promiscMode", "macspoofchk"):
            if config.get(name):
                raise CniError(cni.UNSUPPORTED_FIELD, f"ociruntime-bridge has no {name}")
        self.mtu: int = config.get("mtu") or 0
        self.hairpin = bool(config.get("hairpinMode"))
        self.default_gateway = bool(config.get("isDefaultGateway"))
        self.gateway = self.default_gateway or bool(config.get("isGateway"))
        self.force_address = bool(config.get("forceAddress"))
        self.masquerade = bool(config.get("ipMasq"))
        self.isolated = config.get("isolated", True) is True
        self.has_ipam = bool(config.get("ipam"))
        self.firewall: str = config.get("firewall") or ""
        self.directory: str = config.get("dataDir") or os.path.join(STATE_DIRECTORY, "bridge")
        self.veth = veth_name(request)
        mac = request.runtime("mac") or config.get("args", {}).get("cni", {}).get("mac")
        try:
            self.mac = parse_mac(mac) if mac else b""
        except AddressError as error:
            raise CniError(cni.BAD_CONFIG, f"mac: {error}") from None

    @property
    def book(self) -> Directory:
        """The directory with a file for each attached container, and its lock."""
        return Directory(self.directory)


def veth_name(request: PluginCall) -> str:
    """The name of the pair's end on the host: it follows from what identifies the attachment."""
    identity = f"{request.network}\0{request.container}\0{request.device}"
    return "veth" + digest(identity.encode()).hex()[:10]
