"""What cannot be is said clearly, and nothing is left; what dies on the way is cleaned up."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable

import pytest

from ociruntime.network.netlink import (
    IFLA_INFO_KIND,
    IFLA_LINKINFO,
    Netlink,
    NetlinkError,
    _text,
    nested,
)
from tests.network.host import Host
from tests.network.test_bridge import bridge
from tests.support.patience import PATIENCE
from tests.support.sandbox import Sandbox

MakeConflist = Callable[..., str]


def refused(host: Host, *options: str) -> str:
    """What the hook says to a container that it must refuse; nothing of it is left."""
    before = {path for path in host.state.rglob("*.json") if path.parent.name != "leases"}
    devices = len(host.ip("link"))
    container = host.container(attach=False)
    done = container.hook(*options, check=False)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1, done.stderr
    after = {path for path in host.state.rglob("*.json") if path.parent.name != "leases"}
    assert (after, len(host.ip("link"))) == (before, devices)
    assert len(container.ip("link")) == 1
    return str(done.stderr)


def test_port_of_another_container(host: Host) -> None:
    first = host.container("--publish", "8001:80")
    assert first.id in refused(host, "--publish", "8001:81")
    assert first.id in refused(host, "--publish", "127.0.0.1:8001:81")
    assert "twice" in refused(host, "--publish", "8002:80", "--publish", "8002:81")
    host.container("--publish", "8001:80/udp")


def test_port_of_the_host(host: Host) -> None:
    host.serve(8001, "host")
    said = refused(host, "--publish", "8001:80")
    assert "port 8001/tcp" in said
    assert "in use" in said
    assert "99.9.9.9:8002/tcp" in refused(host, "--publish", "99.9.9.9:8002:80")


def test_loopback_of_ipv6(host: Host, conflist: MakeConflist, firewall: str) -> None:
    """The kernel routes nothing from ::1: nobody is there, which a client learns at once."""
    network = conflist("both", bridge("10.1.0.0/24", "fd00:1::/64", firewall=firewall))
    said = refused(host, "--network", network, "--publish", "[::1]:8001:80")
    assert "publish at 127.0.0.1" in said
    container = host.container("--network", network, "--publish", "8001:80")
    container.serve(80, "here")
    with pytest.raises(ConnectionRefusedError):
        host.ask("::1", 8001)
    assert host.ask("127.0.0.1", 8001)[0] == "here"


def test_foreign_chain_that_drops(host: Host) -> None:
    """It is somebody's own: left as it is, and named."""
    host.run("nft", "add table inet theirs")
    chain = "add chain inet theirs fence { type filter hook forward priority 0; policy drop; }"
    host.run("nft", chain)
    before = host.run("nft", "list", "table", "inet", "theirs").stdout
    container = host.container(attach=False)
    said = container.hook().stderr
    assert said.startswith("ociruntime-bridge: warning: the chain fence of table inet theirs drops")
    assert len(said.splitlines()) == 1
    assert host.run("nft", "list", "table", "inet", "theirs").stdout == before


def test_exhausted_range(host: Host, conflist: MakeConflist) -> None:
    network = conflist("one", bridge("10.1.0.0/30"))
    first = host.container("--network", network)
    assert first.address() == "10.1.0.2"
    said = refused(host, "--network", network)
    assert "network one has no free address in 10.1.0.1 to 10.1.0.2" in said
    first.end()  # nobody tells the plugin, but the lease is stale now
    second = host.container("--network", network)
    assert second.address() == "10.1.0.2"


def test_bridge_with_another_address(host: Host, conflist: MakeConflist) -> None:
    host.run("ip", "link", "add", "br0", "type", "bridge")
    host.run("ip", "addr", "add", "10.9.0.1/24", "dev", "br0")
    said = refused(host, "--network", conflist("one", bridge("10.1.0.0/24")))
    assert "the bridge br0 has the address 10.9.0.1/24, not 10.1.0.1/24" in said
    forced = conflist("one", bridge("10.1.0.0/24", forceAddress=True))
    host.container("--network", forced)
    assert "10.9.0.1" not in str(host.ip("addr", "show", "dev", "br0"))
    host.stop_containers()
    host.net("gc")
    host.run("ip", "link", "del", "br0")  # not ours, so it was left alone
    host.run("nft", "delete", "table", "inet", "ociruntime")


def test_subnet_of_the_host(host: Host, conflist: MakeConflist) -> None:
    said = refused(host, "--network", conflist("one", bridge("192.0.2.0/25")))
    assert "overlaps with 192.0.2.1/24 of the host's device eth0" in said


def test_name_of_no_bridge(host: Host, conflist: MakeConflist) -> None:
    said = refused(host, "--network", conflist("one", bridge("10.1.0.0/24", bridge="eth0")))
    assert "the device eth0 is no bridge" in said


@pytest.mark.parametrize(
    ("plugin", "words"),
    [
        ({"type": "no-such-plugin"}, "plugin no-such-plugin is in none of the directories"),
        ({"type": "../bin/sh"}, "is no name of a plugin"),
        (bridge("10.1.0.0/33"), "10.1.0.0/33"),
        (bridge("10.1.0.0/24", bridge="../x"), "no name of a bridge"),
        (bridge("10.1.0.0/24", bridge="br*"), "no name of a bridge"),
        (bridge("10.1.0.0/24", vlan=3), "has no vlan"),
        (bridge("10.1.0.0/24", firewall="magic"), "use nftables, iptables or none"),
    ],
)
def test_bad_configuration(
    host: Host, conflist: MakeConflist, plugin: dict[str, object], words: str
) -> None:
    assert words in refused(host, "--network", conflist("one", plugin))


def test_unknown_network(host: Host) -> None:
    assert "network 'nowhere'" in refused(host, "--network", "nowhere")


def test_same_id_elsewhere(host: Host) -> None:
    """A container below another --root neither takes over nor disturbs one of the same id."""
    first = host.container()
    second = host.container(attach=False)
    second.id = first.id
    assert "is on a network already" in second.hook(check=False).stderr
    document = {"id": first.id, "status": "stopped", "pid": 0, "bundle": "/another"}
    host.run(str(host.program), "--state", str(host.state), input=json.dumps(document))
    assert first.address() == "10.87.0.2"
    second.ended = True


def test_dead_containers_are_collected(host: Host) -> None:
    dead = host.container("--publish", "8001:80")
    living = host.container("--publish", "8002:80")
    dead.end()
    assert host.net("check", check=False).returncode == 1
    assert "dead" in host.net("ls").stdout
    assert host.net("gc").stdout == f"removed eth0 of container {dead.id} on bridge\n"
    living.serve(80, "here")
    assert host.ask("127.0.0.1", 8002)[0] == "here"
    host.net("check")
    # The id, the port and all else are free again.
    again = host.container("--publish", "8001:80")
    again.serve(80, "again")
    assert host.ask("127.0.0.1", 8001)[0] == "again"


def test_somebody_else_in_the_network_keeps_it(host: Host) -> None:
    container = host.container()
    joined = subprocess.Popen(
        ["nsenter", f"--net={container.path}", "sleep", "60"],
        env=host.sandbox.environment(),
    )
    deadline = time.monotonic() + PATIENCE
    while os.stat(f"/proc/{joined.pid}/ns/net").st_ino != os.stat(container.path).st_ino:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    container.end()
    assert host.net("gc").stdout == ""
    joined.kill()
    joined.wait()
    assert container.id in host.net("gc").stdout


def test_emptied_packet_filter(host: Host, conflist: MakeConflist, firewall: str) -> None:
    """Somebody flushes all rules: check says so, and a container can still go."""
    network = conflist("one", bridge("10.1.0.0/24", firewall=firewall))
    for published in ((), ("--publish", "8001:80")):
        container = host.container("--network", network, *published)
        host.net("check")
        host.run("nft", "flush", "ruleset")
        said = host.net("check", check=False).stderr
        assert f"container {container.id}: network one: rules of br0 or a published port" in said
        container.stop()


@pytest.mark.parametrize(
    ("program", "said", "words"),
    [
        ("nft", "Error: Could not process rule: Operation not supported", "CONFIG_NFT_NAT"),
        ("iptables", "can't initialize iptables table nat", "the packet filter cannot be set"),
    ],
)
def test_kernel_without_a_packet_filter(
    host: Host, conflist: MakeConflist, sandbox: Sandbox, program: str, said: str, words: str
) -> None:
    """The program is there, and the kernel cannot do what it asks for."""
    fake = sandbox.directory / program
    fake.write_text(f'#!/bin/sh\necho "{said}" >&2\nexit 1\n')
    fake.chmod(0o755)
    kind = {"nft": "nftables", "iptables": "iptables"}[program]
    network = conflist("one", bridge("10.1.0.0/24", firewall=kind))
    container = host.container(attach=False)
    document = {"id": container.id, "status": "creating", "pid": container.pid, "bundle": "/b"}
    covered = f'mount --bind {fake} "$(readlink -f "$(command -v {program})")" && exec "$@"'
    command = ["unshare", "-m", "sh", "-ec", covered, "sh", str(host.program), "--state"]
    done = host.run(
        *command, str(host.state), "--network", network, input=json.dumps(document), check=False
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert said in done.stderr
    assert words in done.stderr
    assert [link["ifname"] for link in host.ip("link")] == ["lo", "eth0"]


def test_kernel_without_a_kind_of_device(host: Host) -> None:
    """What rtnetlink answers for a kind that the kernel does not have."""
    with host.entered(), Netlink() as inside:
        with pytest.raises(NetlinkError, match="no devices of type x7; try `modprobe x7`"):
            inside._new_link(nested(IFLA_LINKINFO, _text(IFLA_INFO_KIND, "x7")), "x7", "device x")
