"""Programs and libraries of others, and how our own commands start."""

from __future__ import annotations

import importlib.util

from ociruntime.doctor import ABSENT, OK, WARNING, Finding, Machine
from ociruntime.network.invoke import CNI_PATH
from ociruntime.startup import REFRESH, reason

FIREWALLS = ("nft", "iptables-restore")
PLUGINS = ("bridge", "host-local", "portmap")


def firewall(machine: Machine) -> list[Finding]:
    """What publishes ports and masks addresses."""
    if machine.rootless:
        return []
    found = [path for name in FIREWALLS if (path := machine.program(name))]
    if found:
        return [Finding("packet filter", OK, f"{found[0]}")]
    message = "neither nft nor iptables-restore: --net bridge publishes no ports"
    return [Finding("packet filter", WARNING, message, "sudo apt-get install -y nftables")]


def network_plugins(machine: Machine) -> list[Finding]:
    """The standard CNI plugins, for networks that name one that is not ours."""
    if machine.rootless:
        return []
    for directory in CNI_PATH.split(":"):
        names = machine.names(directory)
        if names:
            missing = [name for name in PLUGINS if name not in names]
            told = f"{len(names)} in {directory}"
            told += f"; not {', '.join(missing)}" if missing else ""
            return [Finding("network plugins", OK, told)]
    message = "none but ours (bridge, ipam); networks that name others fail"
    cure = "sudo apt-get install -y containernetworking-plugins"
    return [Finding("network plugins", ABSENT, message, cure)]


def network_library(_: Machine) -> list[Finding]:
    """pyroute2, which moves network devices."""
    if importlib.util.find_spec("pyroute2") is not None:
        return [Finding("network devices", OK, "pyroute2 can move them (linux.netDevices)")]
    message = "Python's pyroute2 is missing: linux.netDevices fails"
    cure = "sudo apt-get install -y python3-pyroute2"
    return [Finding("network devices", WARNING, message, cure)]


def checkpoint(machine: Machine) -> list[Finding]:
    """CRIU."""
    path = machine.program("criu")
    if path:
        return [Finding("CRIU", OK, path)]
    message = "not installed; checkpoints need it"
    return [Finding("CRIU", ABSENT, message, "sudo apt-get install -y criu")]


def start_image(_: Machine) -> list[Finding]:
    """Whether commands start from the start image."""
    why = reason()
    if why is None:
        return [Finding("start image", OK, "commands start from it")]
    message = f"commands start four times slower: {why}"
    return [Finding("start image", WARNING, message, f"sudo {REFRESH}")]
