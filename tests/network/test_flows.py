"""Flows of datagrams that began before: a published port is served by the container that has it
now, and clients need not know.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from ociruntime.network.addresses import Address
from ociruntime.network.conntrack import Conntrack
from ociruntime.network.firewall import Mapping
from tests.network.host import HOST, HOST6, OUTSIDE, UDP, Container, Host, Space
from tests.network.test_bridge import bridge
from tests.support.patience import PATIENCE

MakeConflist = Callable[..., str]
PORT = 5300
LOOPBACK = "127.0.0.1"


@contextmanager
def client(space: Space, address: str) -> Iterator[socket.socket]:
    """One socket for all that a client sends: to the kernel it is one flow."""
    with space.socket(address, UDP) as made:
        made.connect((address, PORT))
        yield made


def answer(asker: socket.socket, seconds: float = PATIENCE) -> str:
    """Who answered, within so many seconds; empty when nobody did."""
    asker.settimeout(0)
    with suppress(BlockingIOError, ConnectionRefusedError):
        while asker.recv(100):  # what came late to an earlier question
            pass
    asker.settimeout(0.3)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            asker.send(b"?")
            return asker.recv(100).decode().split()[0]
        except TimeoutError:
            continue
        except ConnectionRefusedError:
            time.sleep(0.1)
    return ""


def publishing(host: Host, network: str, name: str) -> Container:
    container = host.container("--network", network, "--publish", f"{PORT}:53/udp")
    container.serve(53, name, kind=UDP)
    return container


@pytest.mark.parametrize("address", [HOST, HOST6, LOOPBACK])
def test_a_replaced_container_is_reached(
    host: Host, conflist: MakeConflist, firewall: str, address: str
) -> None:
    network = conflist("both", bridge("10.1.0.0/24", "fd00:1::/64", firewall=firewall))
    with client(host if address == LOOPBACK else host.outside, address) as asker:
        first = publishing(host, network, "first")
        assert answer(asker) == "first"
        first.stop()
        second = publishing(host, network, "second")
        assert answer(asker) == "second"
        second.stop()


@pytest.mark.parametrize("address", [HOST, HOST6, LOOPBACK])
def test_who_was_too_early_gets_through(
    host: Host, conflist: MakeConflist, firewall: str, address: str
) -> None:
    network = conflist("both", bridge("10.1.0.0/24", "fd00:1::/64", firewall=firewall))
    # Rules that follow flows are there, as they are where a container has been before.
    other = host.container("--network", network, "--publish", "1:1/udp")
    with client(host if address == LOOPBACK else host.outside, address) as asker:
        assert answer(asker, 1.5) == ""
        late = publishing(host, network, "late")
        assert answer(asker) == "late"
        late.stop()
    other.stop()


def test_flows_of_others_stay(host: Host, conflist: MakeConflist) -> None:
    """The same port elsewhere, and other ports of the host."""
    network = conflist("one", bridge("10.1.0.0/24"))
    other = host.container("--network", network, "--publish", "1:1/udp")
    host.outside.serve(PORT, "outside", kind=UDP)
    host.serve(PORT + 1, "host", kind=UDP)
    with client(host, OUTSIDE) as asker, host.outside.socket(HOST, UDP) as neighbour:
        neighbour.connect((HOST, PORT + 1))
        neighbour.send(b"?")
        assert neighbour.recv(100).startswith(b"host")
        assert answer(asker) == "outside"
        publishing(host, network, "ours").stop()
        with host.entered(), Conntrack() as table:
            # What is left is what those who may take anything away would find.
            far = Mapping(None, PORT, "udp", Address.parse("10.1.0.2"), 53)
            assert table.forget(far, {socket.inet_aton(OUTSIDE)}) == 1
            near = Mapping(None, PORT + 1, "udp", Address.parse("10.1.0.2"), 53)
            assert table.forget(near, {socket.inet_aton(HOST)}) == 1
            assert table.forget(near, {socket.inet_aton(HOST)}) == 0
    other.stop()
