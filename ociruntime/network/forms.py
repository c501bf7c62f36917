"""What the members of network configurations must be, as far as our client and plugins read them.

One table for ADD, DEL, CHECK, GC and STATUS: what has another form is refused before anything is
made or written down, and in the same words each time, so that nobody has to take back what never
was. Members that only other plugins know are theirs.

Source: CNI spec 1.1.0, section 1; the documentation of the standard plugins bridge, host-local and
portmap.
"""

from __future__ import annotations

from ociruntime.jsontext import dumps
from ociruntime.network import cni
from ociruntime.network.cni import CniError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

    # A type, a list with the form of its entries, or an object of members.
    Form: TypeAlias = Any

RANGE: Form = {"subnet": str, "rangeStart": str, "rangeEnd": str, "gateway": str}
ROUTE: Form = {
    "dst": str, "gw": str, "priority": int, "table": int, "scope": int, "mtu": int, "advmss": int,
}  # fmt: skip
DNS: Form = {"nameservers": [str], "domain": str, "search": [str], "options": [str]}
MAPPING: Form = {"hostPort": int, "containerPort": int, "protocol": str, "hostIP": str}
# What must be there wherever it is spoken of.
REQUIRED = ("dst", "containerID", "ifname", "address")
# Of every plugin.
PLUGIN: dict[str, Form] = {
    "cniVersion": str,
    "name": str,
    "type": str,
    "capabilities": {},
    "ipam": {"type": str},
    "dns": DNS,
    "args": {"cni": {"ips": [str], "mac": str}},
    "runtimeConfig": {"portMappings": [MAPPING], "ips": [str], "mac": str, "ipRanges": [[RANGE]]},
    "prevResult": {"ips": [{"address": str}]},
    "cni.dev/valid-attachments": [{"containerID": str, "ifname": str}],
}
IPAM: dict[str, Form] = {
    "type": str,
    "subnet": str,
    "rangeStart": str,
    "rangeEnd": str,
    "gateway": str,
    "ranges": [[RANGE]],
    "routes": [ROUTE],
    "dns": DNS,
    "resolvConf": str,
    "dataDir": str,
}
BRIDGE: dict[str, Form] = {
    "bridge": str,
    "mtu": int,
    "isGateway": bool,
    "isDefaultGateway": bool,
    "forceAddress": bool,
    "ipMasq": bool,
    "hairpinMode": bool,
    "isolated": bool,
    "firewall": str,
    "dataDir": str,
}
NETWORK: Form = {
    "cniVersion": str,
    "cniVersions": [str],
    "name": str,
    "disableGC": bool,
    "plugins": [PLUGIN],
}
# Of ours, by the type of the plugin or of its ipam.
OWN = {"ociruntime-bridge": BRIDGE, "ociruntime-ipam": {"ipam": IPAM}}
_NAMES = {str: "a string", int: "an integer", bool: "true or false", dict: "an object",
          list: "an array", float: "a fraction", type(None): "null"}  # fmt: skip
_LONGEST = 60


def check_network(document: dict[str, Any]) -> None:
    """Raise ``CniError`` for a member of a conflist, or of one of its plugins, of another form."""
    check(document, NETWORK)
    for number, plugin in enumerate(document["plugins"]):
        check_plugin(plugin, f"plugins[{number}]")


def check_plugin(config: dict[str, Any], place: str = "") -> None:
    """The same for the configuration of one plugin."""
    check(config, PLUGIN, place)
    ipam = config.get("ipam") or {}
    for kind in (config.get("type"), ipam.get("type")):
        if kind in OWN:
            check(config, OWN[kind], place)


def without_null(value: Any) -> Any:
    """``value`` without members that are null."""
    if type(value) is dict:
        return {name: without_null(inner) for name, inner in value.items() if inner is not None}
    return list(map(without_null, value)) if type(value) is list else value


def check(value: Any, form: Form, place: str = "") -> None:
    """Raise ``CniError`` unless ``value``, called ``place`` in the error, has the form."""
    kind: type = form if isinstance(form, type) else type(form)
    given = type(value)
    if given is not kind:
        text = dumps(value)
        shown = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
        found = _NAMES[given].replace("true or false", "a boolean")
        raise CniError(
            cni.BAD_CONFIG,
            f"{place or 'the configuration'}: {shown} is {found}, not {_NAMES[kind]}",
        )
    if kind is list:
        for number, entry in enumerate(value):
            check(entry, form[0], f"{place}[{number}]")
    elif kind is dict:
        for name, inner in form.items():
            if value.get(name) is not None:  # null is absence, as in Go
                check(value[name], inner, f"{place}.{name}" if place else name)
            elif name in REQUIRED:
                raise CniError(cni.BAD_CONFIG, f"{place} has no {name}")
