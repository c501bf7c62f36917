"""ociruntime-ipam beside host-local: the same configurations, the same answers or refusals."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.network.host import Host
from tests.network.test_bridge import bridge
from tests.network.test_client import Plugins
from tests.network.test_plugins import Caller
from tests.support.sandbox import Sandbox

MakeConflist = Callable[..., str]
STANDARD = Path("/usr/lib/cni")
SUBNET = "10.1.0.0/24"
OTHER = "10.9.0.0/24"


@pytest.fixture
def caller(host: Host) -> Caller:
    return Caller(host)


@pytest.fixture
def plugins(sandbox: Sandbox) -> Plugins:
    return Plugins(sandbox.directory)


def ask(
    caller: Caller, plugin: str, ipam: dict[str, Any], runtime: dict[str, Any], number: int = 0
) -> tuple[int, Any]:
    """ADD by a plugin for a container of its own, and its leases in a place of its own."""
    directory = caller.directory if plugin == "ociruntime-ipam" else STANDARD
    place = str(caller.host.sandbox.logs / f"{plugin}-leases")
    config = {"cniVersion": "1.0.0", "name": "n", "type": "x",
              "ipam": {"type": plugin, "dataDir": place, **ipam}}  # fmt: skip
    if runtime:
        config["runtimeConfig"] = runtime
    environment = {"CNI_COMMAND": "ADD", "CNI_CONTAINERID": f"c{number}", "CNI_IFNAME": "eth0",
                   "CNI_NETNS": "/proc/self/ns/net", "CNI_PATH": "/nowhere"}  # fmt: skip
    done = subprocess.run(
        [directory / plugin], input=json.dumps(config), env=environment, text=True,
        capture_output=True, check=False,
    )  # fmt: skip
    return done.returncode, json.loads(done.stdout)


@pytest.mark.parametrize(
    ("ipam", "runtime"),
    [
        ({"subnet": SUBNET}, {}),
        ({"subnet": SUBNET, "gateway": "10.2.0.1"}, {}),
        ({"subnet": SUBNET, "gateway": "10.1.0.7"}, {}),
        ({"ranges": [[{"subnet": SUBNET}]]}, {"ipRanges": [[{"subnet": OTHER}]]}),
        ({}, {"ipRanges": [[{"subnet": OTHER}]]}),
        ({"subnet": SUBNET}, {"ipRanges": [[{"subnet": OTHER}]]}),
        ({"ranges": [[{"subnet": SUBNET}], [{"subnet": OTHER}]]}, {}),
        ({"ranges": [[{"subnet": SUBNET, "rangeEnd": "10.1.0.9"},
                      {"subnet": SUBNET, "rangeStart": "10.1.0.20"}]]}, {}),
        ({"ranges": [[{"subnet": SUBNET, "rangeEnd": "10.1.0.9"}],
                     [{"subnet": SUBNET, "rangeStart": "10.1.0.20"}]]}, {}),
        ({"subnet": "10.1.0.0/30"}, {}),
        ({"subnet": "fd00::/126"}, {}),
    ],
    ids=str,
)  # fmt: skip
def test_as_host_local(caller: Caller, ipam: dict[str, Any], runtime: dict[str, Any]) -> None:
    expected = ask(caller, "host-local", ipam, runtime)
    found = ask(caller, "ociruntime-ipam", ipam, runtime)
    assert (found[0], found[1].get("ips")) == (0, expected[1]["ips"])


@pytest.mark.parametrize(
    ("ipam", "words"),
    [
        ({"ranges": [[{"subnet": SUBNET}, {"subnet": "fd00::/64"}]]}, "IPv4 and IPv6"),
        ({"ranges": [[{"subnet": SUBNET}, {"subnet": "10.1.0.0/25"}]]}, "overlaps with"),
        ({"ranges": [[{"subnet": SUBNET}], [{"subnet": "10.1.0.128/25"}]]}, "overlaps with"),
        ({"subnet": "10.1.0.0/31"}, "10.1.0.0/31 is too small"),
        ({"subnet": "10.1.0.0/32"}, "10.1.0.0/32 is too small"),
        ({"subnet": "fd00::/127"}, "fd00::/127 is too small"),
        ({"subnet": SUBNET, "rangeStart": "10.2.0.1"}, "no range of addresses in 10.1.0.0/24"),
    ],
    ids=str,
)
def test_refused_as_by_host_local(caller: Caller, ipam: dict[str, Any], words: str) -> None:
    assert ask(caller, "host-local", ipam, {})[0] == 1
    status, error = ask(caller, "ociruntime-ipam", ipam, {})
    assert (status, error["code"]) == (1, 7)
    assert words in error["msg"]


def test_the_same_container_has_the_same_address(caller: Caller) -> None:
    addresses = [
        ask(caller, "ociruntime-ipam", {"subnet": SUBNET}, {}, number)[1]["ips"][0]["address"]
        for number in (0, 1, 0, 0, 2)
    ]
    assert addresses == [f"10.1.0.{last}/24" for last in (2, 3, 2, 2, 4)]


def test_all_of_resolv_conf(caller: Caller, sandbox: Sandbox) -> None:
    file = sandbox.directory / "resolv.conf"
    file.write_text("nameserver 1.1.1.1\ndomain corp.example\nsearch a b\noptions ndots:2\n")
    ipam = {"subnet": SUBNET, "resolvConf": str(file)}
    expected = ask(caller, "host-local", ipam, {})[1]["dns"]
    assert expected["domain"] == "corp.example"
    assert ask(caller, "ociruntime-ipam", ipam, {})[1]["dns"] == expected


def test_the_standard_bridge_has_our_addresses(host: Host, conflist: MakeConflist) -> None:
    """It looks for its ipam in the directories that we name; ours is among them."""
    pool = {"type": "ociruntime-ipam", "subnet": SUBNET, "dataDir": str(host.state / "leases")}
    network = conflist("mixed", {"type": "bridge", "bridge": "br0", "ipam": pool})
    container = host.container("--network", network)
    assert container.address() == "10.1.0.2"
    container.stop()
    host.run("ip", "link", "del", "br0")


def test_a_bridge_of_others_keeps_its_mac(host: Host, conflist: MakeConflist) -> None:
    host.run("ip", "link", "add", "br0", "type", "bridge")
    before = host.ip("link", "show", "br0")[0]["address"]
    network = conflist("theirs", bridge(SUBNET))
    containers = [host.container("--network", network, "--mac", f"02:00:00:00:00:0{n}")
                  for n in (3, 1, 2)]  # fmt: skip
    assert host.ip("link", "show", "br0")[0]["address"] == before
    containers[1].stop()
    assert host.ip("link", "show", "br0")[0]["address"] == before
    for container in (containers[0], containers[2]):
        container.stop()
    host.run("ip", "link", "del", "br0")
    host.run("nft", "delete", "table", "inet", "ociruntime")


OLD = """#!/bin/sh
case $CNI_COMMAND in
    VERSION) echo '{{"cniVersion":"0.4.0","supportedVersions":["0.3.0","0.4.0"]}}' ;;
    ADD) cat >"{0}"; echo '{{"cniVersion":"0.4.0"}}' ;;
esac
"""


def test_the_version_is_one_that_the_plugins_know(
    host: Host, sandbox: Sandbox, plugins: Plugins
) -> None:
    seen = sandbox.directory / "seen"
    old = plugins.path / "old"
    old.write_text(OLD.format(seen))
    old.chmod(0o755)
    path = sandbox.directory / "versions.conflist"
    document = {"cniVersion": "1.0.0", "cniVersions": ["0.4.0", "1.0.0", "1.1.0"],
                "name": "several", "plugins": [{"type": "old"}]}  # fmt: skip
    path.write_text(json.dumps(document))
    options = ("--cni-path", str(plugins.path), "--network", str(path))
    host.container(*options).stop()
    assert json.loads(seen.read_text())["cniVersion"] == "0.4.0"
    path.write_text(json.dumps(document | {"cniVersions": ["1.1.0"]}))
    done = host.container(attach=False).hook(*options, check=False)
    assert "plugin old knows none of the versions 1.0.0, 1.1.0" in done.stderr


WRONG = [
    ("plugins.0.mtu", "large"), ("plugins.0.bridge", 5), ("plugins.0.ipam", "x"),
    ("plugins.0.isGateway", "yes"), ("plugins.0.ipam.type", 5), ("plugins.0.ipam.ranges", 5),
    ("plugins.0.ipam.ranges.0", {}), ("plugins.0.ipam.ranges.0.0", "10.1.0.0/24"),
    ("plugins.0.ipam.ranges.0.0.subnet", 5), ("plugins.0.ipam.routes", "x"),
    ("plugins.0.ipam.routes", [{"gw": "10.1.0.1"}]), ("plugins.0.ipam.routes", [{"dst": 5}]),
    ("plugins.0.dns", []), ("plugins.0.dns", {"nameservers": "1.1.1.1"}),
    ("plugins.0.capabilities", []), ("plugins.0.args", []), ("plugins.0.args", {"cni": 5}),
    ("plugins.0.firewall", True), ("plugins.0.dataDir", 5), ("plugins.0.ipam.dataDir", []),
    ("plugins.0", "bridge"), ("plugins", {}), ("name", 5), ("cniVersion", 1.0),
    ("cniVersions", "1.0.0"), ("plugins.0.ipam.resolvConf", 5),
]  # fmt: skip


@pytest.mark.parametrize(("place", "value"), WRONG, ids=str)
def test_a_wrong_type_is_one_clear_error_and_blocks_nothing(
    host: Host, sandbox: Sandbox, place: str, value: Any
) -> None:
    good = {"cniVersion": "1.0.0", "name": "n", "plugins": [bridge(SUBNET)]}
    bad: Any = json.loads(json.dumps(good))
    node = bad
    *around, last = (int(step) if step.isdecimal() else step for step in place.split("."))
    for step in around:
        node = node[step]
    node[last] = value
    path = sandbox.directory / "n.conflist"
    path.write_text(json.dumps(bad))
    container = host.container(attach=False)
    done = container.hook("--network", str(path), check=False)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "internal error" not in line
    assert "Traceback" not in line
    path.write_text(json.dumps(good))
    container.hook("--network", str(path))
    assert container.address() == "10.1.0.2"
    assert host.net("gc").stderr == ""
