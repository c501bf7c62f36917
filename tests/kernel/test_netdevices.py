"""linux.netDevices (config-linux.md, "Network Devices")."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.bundle import Bundle
from tests.support.runtime import Runtime
from tests.support.sandbox import Sandbox
from tests.support.verdict import assert_clear

MakeBundle = Callable[..., Bundle]


def ip(*args: str) -> str:
    return subprocess.run(["ip", *args], check=True, capture_output=True, text=True).stdout


def facts(name: str) -> dict[str, Any]:
    """What ip(8) says about a device of the host."""
    found: list[dict[str, Any]] = json.loads(ip("-json", "addr", "show", "dev", name))
    return found[0]


@pytest.fixture
def device(sandbox: Sandbox) -> Iterator[str]:
    """One end of a veth pair, up, with addresses of both families, global and of the link."""
    name, peer = sandbox.new_device(), sandbox.new_device()
    ip("link", "add", name, "type", "veth", "peer", "name", peer)
    ip("addr", "add", "10.77.0.2/24", "broadcast", "10.77.0.255", "dev", name)
    ip("addr", "add", "169.254.7.7/16", "scope", "link", "dev", name)
    ip("addr", "add", "fd00:77::2/64", "dev", name, "nodad")
    ip("link", "set", name, "up")
    yield name
    # With one end the other goes, wherever it is by now.
    subprocess.run(["ip", "link", "del", peer], check=False, capture_output=True)


def test_moved_and_renamed(runtime: Runtime, bundle: MakeBundle, device: str) -> None:
    """Permanent global addresses are kept, those of the link are not, and it is up."""
    made = bundle().set("/linux/netDevices", {device: {"name": "data0"}})
    output = runtime.run_output(made, "ip addr show dev data0; ip route")
    assert "10.77.0.2/24 brd 10.77.0.255 scope global" in output
    assert "fd00:77::2/64 scope global" in output
    assert "169.254.7.7" not in output
    assert "UP" in output.splitlines()[0]
    assert "10.77.0.0/24 dev data0" in output


def test_name_is_kept(runtime: Runtime, bundle: MakeBundle, device: str) -> None:
    made = bundle(["sleep", "100"]).set("/linux/netDevices", {device: {}})
    container = runtime.up(made)
    assert device in runtime.exec(container, "ip", "link").check().stdout
    assert device not in [link["ifname"] for link in json.loads(ip("-json", "link"))]


def test_name_template(runtime: Runtime, bundle: MakeBundle, device: str) -> None:
    made = bundle().set("/linux/netDevices", {device: {"name": "net%d"}})
    assert "net0" in runtime.run_output(made, "ip addr show dev net0")


def test_in_a_user_namespace(runtime: Runtime, bundle: MakeBundle, device: str) -> None:
    mapping = [{"containerID": 0, "hostID": 100_000, "size": 65536}]
    made = bundle().add_namespace("user").set("/linux/uidMappings", mapping)
    made.set("/linux/gidMappings", mapping).set("/linux/netDevices", {device: {}})
    assert "10.77.0.2/24" in runtime.run_output(made, f"ip addr show dev {device}")


def test_taken_name(runtime: Runtime, bundle: MakeBundle, device: str) -> None:
    made = bundle().set("/linux/netDevices", {device: {"name": "lo"}})
    assert_clear(runtime, runtime.create(made), "netDevices", device, "already has a device lo")
    assert facts(device)["operstate"] != "DOWN"


def test_missing_device(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle().set("/linux/netDevices", {"nothing0": {}})
    assert_clear(
        runtime, runtime.create(made), "netDevices nothing0", "no such network device", "correct"
    )


def test_device_that_cannot_move(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle().set("/linux/netDevices", {"lo": {"name": "lo1"}})
    assert_clear(runtime, runtime.create(made), "netDevices lo", "bound to its network namespace")


def test_failed_create_brings_it_home(runtime: Runtime, bundle: MakeBundle, device: str) -> None:
    """A later step fails: the host's device is as it was, and not destroyed with the namespace."""
    made = bundle().set("/linux/netDevices", {device: {"name": "data0"}})
    made.set("/hooks", {"createRuntime": [{"path": "/bin/false"}]})
    assert_clear(runtime, runtime.create(made), "createRuntime")
    home = facts(device)
    addresses = {entry["local"] for entry in home["addr_info"]}
    assert {"10.77.0.2", "fd00:77::2"} <= addresses
    assert "UP" in home["flags"]


def test_second_device_fails(runtime: Runtime, bundle: MakeBundle, device: str) -> None:
    made = bundle().set("/linux/netDevices", {device: {}, "nothing0": {}})
    assert_clear(runtime, runtime.create(made), "nothing0")
    assert facts(device)["ifname"] == device


def test_delete_moves_nothing_back(runtime: Runtime, bundle: MakeBundle, device: str) -> None:
    made = bundle(["sleep", "100"]).set("/linux/netDevices", {device: {}})
    container = runtime.up(made)
    runtime.delete(container, "--force").check()
    assert device not in [link["ifname"] for link in json.loads(ip("-json", "link"))]


def test_name_too_long_for_the_kernel(runtime: Runtime, bundle: MakeBundle, device: str) -> None:
    """Fifteen characters, but more bytes (CVE-2021-43784: what does not fit an attribute)."""
    made = bundle().set("/linux/netDevices", {device: {"name": "é" * 15}})
    assert_clear(runtime, runtime.create(made), "netDevices", "bytes")
    assert facts(device)["ifname"] == device
