"""Removes what dead containers left on the host, whoever was killed when; and bridges of ours that
nobody uses any more.
"""

from __future__ import annotations

from ociruntime import hostos as os
from ociruntime.errors import OciError
from ociruntime.network import backends
from ociruntime.network.attachments import Attachments, namespaces_in_use
from ociruntime.network.bridgedevice import own_mac
from ociruntime.network.client import collect, detach
from ociruntime.network.conflist import Network
from ociruntime.network.files import Directory
from ociruntime.network.netlink import Netlink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.network.attachments import Attachment


def collect_garbage(attachments: Attachments) -> tuple[list[str], list[str]]:
    """Clean up; (what was removed, problems), one line each.

    A container is dead when its first process has ended and nobody else is in its network
    namespace. Containers that come and go meanwhile wait.
    """
    with attachments.directory:
        return _collect(attachments)


def _collect(attachments: Attachments) -> tuple[list[str], list[str]]:
    removed: list[str] = []
    problems: list[str] = []
    living: list[Attachment] = []
    networks: dict[str, tuple[Network, str]] = {}
    in_use = namespaces_in_use()
    for attachment in attachments.all():
        network = Network(
            attachment.data["network"], "stored network configuration", stored=True
        )
        networks[network.name] = network, attachment.data["path"]
        if not attachment.is_dead(in_use):
            living.append(attachment)
            continue
        faults = detach(attachments, attachment)
        problems += faults
        if not faults:
            device = attachment.data["device"]
            removed.append(f"{device} of container {attachment.data['id']} on {network.name}")
    for network, path in networks.values():
        valid = [a for a in living if a.data["network"]["name"] == network.name]
        problems += collect(network, valid, path)
    removed += [f"bridge {name}" for name in _remove_bridges(attachments.state, problems)]
    attachments.directory.sweep()
    for name in ("bridge", "leases"):
        with Directory(os.path.join(attachments.state, name)) as directory:
            directory.sweep()
    return removed, problems


def _remove_bridges(state: str, problems: list[str]) -> list[str]:
    """Remove the bridges that we made, that have no port and that no container is written down
    for.
    """
    removed = []
    with Directory(os.path.join(state, "bridge")) as book, Netlink() as host:
        used = {record["bridge"] for name in book.names("veth") if (record := book.read(name))}
        links = host.links()
        used_indexes = {link.master for link in links}
        for link in links:
            ours = link.kind == "bridge" and link.mac == own_mac(link.name)
            if not ours or link.index in used_indexes or link.name in used:
                continue
            try:
                for filter_ in backends.installed():
                    filter_.forget(link.name)
                host.remove(link.name)
            except OciError as error:
                problems.append(str(error))
            else:
                removed.append(link.name)
    return removed
