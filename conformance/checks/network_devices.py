"""config-linux.md: network devices moved into the container."""

from __future__ import annotations

import json
from typing import Any

from conformance.container import Container
from conformance.registry import check
from conformance.trial import Trial


class Network:
    """A network namespace of the test's own, in which the runtime is called, with devices."""

    def __init__(self, t: Trial) -> None:
        self.trial = t
        self.path = t.host_namespace("net")
        t.need(t.host.program("ip"), "`ip` (iproute2) is not installed")
        t.runtime.wrapper = ("nsenter", f"--net={self.path}")

    def ip(self, *args: str) -> str:
        """Call ip(8) in the namespace of the runtime."""
        return self.trial.host_command("nsenter", f"--net={self.path}", "ip", *args)

    def device(self, name: str) -> None:
        """Make one end of a pair, with addresses, an MTU and a hardware address."""
        self.ip("link", "add", name, "mtu", "1400", "type", "veth", "peer", "name", f"{name}p")
        self.ip("link", "set", name, "address", "02:00:00:00:00:aa")
        self.ip("address", "add", "10.99.0.1/24", "dev", name)
        self.ip("address", "add", "2001:db8::1/64", "dev", name)

    def names(self) -> list[str]:
        """Return the names of the devices in the runtime's namespace."""
        return [entry["ifname"] for entry in json.loads(self.ip("-j", "link"))]

    def inside(self, container: Container) -> dict[str, dict[str, Any]]:
        """Return the devices in the container's namespace, by name."""
        path = f"/proc/{container.pid}/ns/net"
        text = self.trial.host_command("nsenter", f"--net={path}", "ip", "-j", "address")
        return {entry["ifname"]: entry for entry in json.loads(text)}


@check("net-devices.moved", "net-devices.name", "net-devices.addresses", "net-devices.attributes",
       "net-devices.up", "net-devices.not-managed", "net-devices.not-moved-back")  # fmt: skip
def moved_devices(t: Trial) -> None:
    """Moves two devices, one under a new name; looks at them inside, and outside after delete."""
    net = Network(t)
    net.device("conf0")
    net.ip("link", "add", "conf1", "type", "veth", "peer", "name", "conf1p")
    bundle = t.bundle()
    bundle.namespace("network")
    bundle.linux["netDevices"] = {"conf0": {"name": "inner"}, "conf1": {}}
    container = t.up(bundle)
    there = net.inside(container)
    t.expect("net-devices.moved", {"inner", "conf1"} <= there.keys(), f"inside: {sorted(there)}")
    t.expect("net-devices.moved", "conf0" not in net.names(), f"outside: {net.names()}")
    if "inner" not in there:
        for what in ("name", "addresses", "attributes", "up"):
            t.expect(f"net-devices.{what}", None, f"conf0 was not moved: inside is {sorted(there)}")
        t.skip("no device was moved (net-devices.moved), so none can be managed or moved back")
    t.expect("net-devices.name", "inner" in there and "conf1" in there, f"inside: {sorted(there)}")
    device = there.get("inner", {})
    addresses = {info["local"] for info in device.get("addr_info", ()) if info["scope"] == "global"}
    t.expect("net-devices.addresses", addresses == {"10.99.0.1", "2001:db8::1"}, f"{addresses}")
    seen = (device.get("mtu"), device.get("address"))
    t.expect("net-devices.attributes", seen == (1400, "02:00:00:00:00:aa"), f"{seen}")
    for name in ("inner", "conf1"):
        up = "UP" in there.get(name, {}).get("flags", ())
        t.expect("net-devices.up", up, f"{name} is {'up' if up else 'not up'}")
    path = f"/proc/{container.pid}/ns/net"
    t.host_command("nsenter", f"--net={path}", "ip", "link", "set", "inner", "down")
    container.state()
    down = "UP" not in net.inside(container)["inner"]["flags"]
    t.expect("net-devices.not-managed", down, "set down by the container's owner, it stays so")
    container.need("kill", "KILL")
    container.wait()
    t.wait_for("status stopped", lambda: container.status == "stopped")
    container.delete()
    gone = "inner" not in net.names() and "conf0" not in net.names()
    t.expect("net-devices.not-moved-back", gone, f"outside: {net.names()}")


@check("net-devices.exists", "net-devices.template", "net-devices.impossible")
def names_of_moved_devices(t: Trial) -> None:
    """Moves a device to the name lo, to a template, and one that does not exist."""
    net = Network(t)
    net.device("conf0")
    for sentence, devices in (
        ("net-devices.exists", {"conf0": {"name": "lo"}}),
        ("net-devices.impossible", {"absent0": {}}),
    ):
        bundle = t.bundle()
        bundle.namespace("network")
        bundle.linux["netDevices"] = devices
        t.refuses(sentence, bundle, at="create", what=str(devices))
    if "conf0" not in net.names():
        net.device("conf0")
    bundle = t.bundle()
    bundle.namespace("network")
    bundle.linux["netDevices"] = {"conf0": {"name": "inner%d"}}
    there = sorted(net.inside(t.up(bundle)))
    t.expect("net-devices.template", "inner0" in there, f"inner%d: inside is {there}")
