"""Networks for people: who is on them, with which addresses and ports, and what is in place."""

from __future__ import annotations

from ociruntime import hostos as os
from ociruntime.errors import NotFound, OciError, one_line
from ociruntime.network import backends
from ociruntime.network.attachments import namespaces_in_use
from ociruntime.network.client import check, status
from ociruntime.network.conflist import Network, load_network
from ociruntime.network.files import STATE_DIRECTORY
from ociruntime.network.ipam import leases_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ociruntime.network.attachments import Attachment, Attachments

    Json = dict[str, Any]

COLUMNS = ("network", "container", "device", "address", "published", "status")
GAP = "   "


def table(attachments: Attachments) -> str:
    """A line for each interface of each container."""
    in_use = namespaces_in_use()
    rows = [[name.upper() for name in COLUMNS]]
    for attachment in attachments.all():
        entry = describe(attachment, in_use)
        cells = [entry[name] for name in COLUMNS]
        rows.append(
            [one_line(", ".join(cell) if isinstance(cell, list) else cell) or "-" for cell in cells]
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    lines = []
    for row in [rows[0], *sorted(rows[1:])]:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append(GAP.join(cells).rstrip() + "\n")
    return "".join(lines)


def describe(attachment: Attachment, in_use: set[int]) -> Json:
    """One attachment in short."""
    data = attachment.data
    result = data["result"]
    published = [
        f"{_host(entry)}{entry['hostPort']}:{entry['containerPort']}/{entry['protocol']}"
        for entry in data["runtime"].get("portMappings", [])
    ]
    word = "attached" if result is not None else "incomplete"
    return {
        "network": data["network"]["name"],
        "container": data["id"],
        "device": data["device"],
        "address": [entry["address"] for entry in (result or {}).get("ips", [])],
        "published": published,
        "status": "dead" if attachment.is_dead(in_use) else word,
    }


def inspect(attachments: Attachments, wanted: str) -> Json:
    """Everything about the network or container ``wanted``, or about all. Raises ``NotFound``."""
    in_use = namespaces_in_use()
    found = [
        attachment
        for attachment in attachments.all()
        if wanted in ("", attachment.data["id"], attachment.data["network"]["name"])
    ]
    if wanted and not found:
        raise NotFound(f"{wanted} (no container and no network in use has this name)")
    networks: dict[str, Json] = {}
    for attachment in found:
        data = attachment.data
        network = networks.setdefault(
            data["network"]["name"],
            {
                "configuration": data["network"],
                "containers": [],
                "leases": _leases(data["network"]),
            },
        )
        network["containers"].append(
            describe(attachment, in_use)
            | {"pid": data["pid"], "bundle": data["bundle"], "result": data["result"]}
        )
    filter_ = backends.choose("") if found else None
    rules = filter_.rules().splitlines() if filter_ else []
    return {"networks": networks, "rules": rules}


def check_ready(names: list[str], path: str) -> list[str]:
    """STATUS of the networks ``names``; why they would refuse a container."""
    problems = []
    for name in names:
        try:
            network = load_network(name)
        except OciError as error:
            problems.append(str(error))
            continue
        problems += _status(network, path)
    return problems


def _status(network: Network, path: str) -> list[str]:
    try:
        status(network, path)
    except OciError as error:
        return [f"network {network.name}: {error}"]
    return []


def check_all(attachments: Attachments) -> list[str]:
    """CHECK of every living container's networks, STATUS of these networks; what is wrong."""
    problems = []
    asked = set()
    for attachment in attachments.all():
        if not attachment.holder_lives():
            problems.append(f"container {attachment.data['id']} is dead; use `ociruntime net gc`")
            continue
        try:
            check(attachment)
        except OciError as error:
            problems.append(f"container {attachment.data['id']}: {error}")
        network = Network(attachment.data["network"], "stored network configuration")
        if network.name in asked:
            continue
        asked.add(network.name)
        problems += _status(network, attachment.data["path"])
    return problems


def _leases(network: Json) -> Json:
    found: Json = {}
    for plugin in network["plugins"]:
        ipam = plugin.get("ipam") or {}
        if ipam.get("type") == "ociruntime-ipam":
            directory = ipam.get("dataDir") or os.path.join(STATE_DIRECTORY, "leases")
            leases = leases_of(directory, network["name"])
            found |= {address: lease["container"] for address, lease in leases.items()}
    return found


def _host(entry: Json) -> str:
    host = entry.get("hostIP", "")
    return f"[{host}]:" if ":" in host else f"{host}:" if host else ""
