"""What people write and read: ports, names of networks, files of /etc, ranges of addresses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ociruntime.errors import OciError, UsageError
from ociruntime.network import backends
from ociruntime.network.addresses import Address, AddressError, Interface, parse_mac
from ociruntime.network.attachments import Attachments
from ociruntime.network.backends import choose
from ociruntime.network.cni import CniError
from ociruntime.network.conflist import load_network
from ociruntime.network.etcfiles import hosts_text, resolv_text
from ociruntime.network.firewall import Mapping, mappings_of
from ociruntime.network.ipam import Range
from ociruntime.network.portspec import parse_publish

RESULT = {"ips": [{"address": "10.87.0.2/16"}, {"address": "fd00::2/64"}]}


@pytest.mark.parametrize(
    ("text", "host", "ports", "protocol"),
    [
        ("8080:80", "", (8080, 80), "tcp"),
        ("53:5353/UDP", "", (53, 5353), "udp"),
        ("127.0.0.1:80:80", "127.0.0.1", (80, 80), "tcp"),
        ("[2001:db8::1]:80:81/sctp", "2001:db8::1", (80, 81), "sctp"),
    ],
)
def test_publish(text: str, host: str, ports: tuple[int, int], protocol: str) -> None:
    found = parse_publish(text)
    assert (found["hostPort"], found["containerPort"]) == ports
    assert (found.get("hostIP", ""), found["protocol"]) == (host, protocol)


@pytest.mark.parametrize(
    "text", ["", "80", ":80", "80:", "0:80", "65536:80", "80:80/icmp", "a:80:80", "-1:80", "²:80"]
)
def test_no_publish(text: str) -> None:
    with pytest.raises(UsageError, match=r"^--publish .*write \[IP:\]HOST:CONTAINER"):
        parse_publish(text)


def test_colliding_ports() -> None:
    """The same port of the same address, or of all."""
    target = [Address.parse("10.87.0.2")]

    def mapping(**entry: Any) -> Mapping:
        return mappings_of([{"hostPort": 80, "containerPort": 80} | entry], target)[0]

    everywhere, here = mapping(), mapping(hostIP="192.0.2.1")
    assert everywhere.collides(here)
    assert here.collides(mapping(hostIP="0.0.0.0", containerPort=81))
    assert not here.collides(mapping(hostIP="192.0.2.2"))
    assert not here.collides(mapping(protocol="udp"))
    assert Mapping.parse(here.document()).document() == here.document()
    with pytest.raises(CniError, match="no address of this family"):
        mapping(hostIP="2001:db8::1")


def test_names_of_networks(tmp_path: Path) -> None:
    """The first file with the name; the built-in one only where there is none."""
    first, second = tmp_path / "a", tmp_path / "b"
    for directory, bridge in ((first, "br1"), (second, "br2")):
        directory.mkdir()
        document = {"cniVersion": "1.0.0", "name": "mine", "type": "ociruntime-bridge"}
        (directory / "9.conf").write_text(json.dumps(document | {"bridge": bridge}))
    (second / "8.conflist").write_text(
        json.dumps({"cniVersion": "1.0.0", "name": "bridge", "plugins": [{"type": "ptp"}]})
    )
    (first / "README").write_text("no configuration")
    directories = (str(tmp_path / "none"), str(first), str(second))
    assert load_network("mine", directories).plugins[0]["bridge"] == "br1"
    assert load_network("bridge", directories).plugins == [{"type": "ptp"}]
    assert load_network("bridge", directories[:2]).plugins[0]["type"] == "ociruntime-bridge"
    with pytest.raises(OciError, match=r"network 'other': none of .* has a configuration"):
        load_network("other", directories)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"name": "x", "plugins": [{"type": "a"}]}, "cniVersion None is not supported"),
        ({"cniVersion": "1.0.0", "plugins": [{"type": "a"}]}, "no name of a network"),
        ({"cniVersion": "1.0.0", "name": "../x", "plugins": []}, "no name of a network"),
        ({"cniVersion": "1.0.0", "name": "x", "plugins": []}, "it has no plugins"),
        ({"cniVersion": "1.0.0", "name": "x", "plugins": [{}]}, r"plugins\[0\] has no type"),
    ],
)
def test_no_network(tmp_path: Path, document: dict[str, Any], words: str) -> None:
    path = tmp_path / "x.conflist"
    path.write_text(json.dumps(document))
    with pytest.raises(OciError, match=words):
        load_network(str(path))


def test_hosts() -> None:
    lines = hosts_text("web", [RESULT]).splitlines()
    assert lines[0] == "127.0.0.1\tlocalhost"
    assert lines[-2:] == ["10.87.0.2\tweb", "fd00::2\tweb"]


def test_resolv_conf(tmp_path: Path) -> None:
    """The network's own; else the host's, but for what only the host reaches; else what Docker
    falls back to.
    """
    stub, real, nothing = (tmp_path / name for name in ("stub", "real", "nothing"))
    stub.write_text("# comment\nnameserver 127.0.0.53\nsearch example.org\n")
    real.write_text("nameserver 192.0.2.53\nnameserver ::1\noptions edns0\n")
    dns = {"nameservers": ["10.87.0.1"], "search": ["a", "b"], "options": ["ndots:2"]}
    assert resolv_text([RESULT | {"dns": dns}], (str(stub),)) == (
        "nameserver 10.87.0.1\nsearch a b\noptions ndots:2\n"
    )
    found = resolv_text([RESULT], (str(stub), str(real)))
    assert found == "nameserver 192.0.2.53\noptions edns0\n"
    found = resolv_text([RESULT], (str(stub), str(nothing)))
    assert found == "nameserver 8.8.8.8\nnameserver 8.8.4.4\n"


def test_range() -> None:
    """Round and round, so that an address returns as late as possible."""
    entry = Range({"subnet": "10.0.0.0/29", "rangeStart": "10.0.0.1", "rangeEnd": "10.0.0.4"})
    found = []
    last = ""
    for _ in range(5):
        address = entry.after(last, {})
        assert address is not None
        last = str(address)
        found.append(last[-1])
    assert found == ["2", "3", "4", "2", "3"]  # 10.0.0.1 is the gateway
    assert entry.after("", {f"10.0.0.{number}": {} for number in (2, 3, 4)}) is None


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"subnet": "10.0.0.0"},
        {"subnet": "10.0.0.0/31"},
        {"subnet": "10.0.0.0/24", "rangeStart": "10.0.1.1"},
        {"subnet": "10.0.0.0/24", "rangeStart": "10.0.0.9", "rangeEnd": "10.0.0.3"},
        {"subnet": "10.0.0.0/24", "gateway": "fd00::1"},
    ],
)
def test_no_range(config: dict[str, str]) -> None:
    with pytest.raises(CniError, match=r"^ipam: "):
        Range(config)


def test_addresses() -> None:
    assert str(Interface.parse("10.1.2.3/20")) == "10.1.2.3/20"
    assert Interface.parse("10.1.2.3/20").network == "10.1.0.0/20"
    assert Interface.parse("10.1.2.3/20").overlaps(Interface.parse("10.0.0.0/8"))
    assert not Interface.parse("10.1.0.0/16").overlaps(Interface.parse("10.2.0.0/16"))
    for text in ("1.2.3", "1.2.3.4/33", "::g/64", "1.2.3.4/-1", "1.2.3.4/ 8"):
        with pytest.raises(AddressError):
            Interface.parse(text)
    for text in ("02:42:0a:57:00", "02:42:0a:57:00:0g", "01:00:5e:00:00:01", "2:42:a:57:0:2"):
        with pytest.raises(AddressError):
            parse_mac(text)


def test_host_without_a_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "PATH", str(tmp_path))
    with pytest.raises(CniError, match="neither nft nor iptables-restore is installed") as caught:
        choose("")
    assert caught.value.code == 50
    assert choose("none") is None


@pytest.mark.parametrize(
    ("text", "words"), [("{", "1:2: "), ("{}", "no id, "), ("[]", "object"), ("", "empty")]
)
def test_damaged_file(tmp_path: Path, text: str, words: str) -> None:
    """It is named, with what helps."""
    attachments = Attachments(str(tmp_path))
    attachments.directory.make()
    (tmp_path / "attachments" / "x.json").write_text(text)
    with pytest.raises(OciError, match=r"x\.json.*damaged: remove it") as caught:
        attachments.all()
    assert words in str(caught.value)


def test_directory_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    attachments = Attachments(str(tmp_path / "file"))
    with pytest.raises(OciError, match="need this directory"):
        attachments.all()
    with pytest.raises(OciError, match="need this directory"):
        attachments.directory.write("x", {})
