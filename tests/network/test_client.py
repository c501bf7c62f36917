"""What our client gives to plugins (CNI spec sections 3 to 5), and what it makes of the answers."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.network.host import Host
from tests.network.test_bridge import bridge
from tests.support.patience import PATIENCE
from tests.support.sandbox import Sandbox

MakeConflist = Callable[..., str]

# Writes down what it gets, and does as its configuration says.
PLUGIN = """#!/bin/sh
config=$(cat)
name=${{0##*/}}
number=$(ls {log} | wc -l)
printf '%s' "$config" > "{log}/$number.$name.$CNI_COMMAND"
env > "{log}/$number.$name.environment"
case $CNI_COMMAND.$config in
    ADD.*'"behave":"refuse"'*)
        echo 'first words' >&2; echo 'last words' >&2
        echo '{{"cniVersion":"1.0.0","code":107,"msg":"no luck","details":"today"}}'; exit 1 ;;
    ADD.*'"behave":"crash"'*) echo 'Segmentation fault' >&2; kill -9 $$ ;;
    ADD.*'"behave":"babble"'*) echo 'all is well' ;;
    ADD.*'"behave":"wait"'*) while ! [ -e {log}/../go ]; do sleep 0.05; done; echo '{{}}' ;;
    ADD.*) echo '{{"cniVersion":"1.0.0","ips":[{{"address":"10.9.0.7/24"}}],"by":"'$name'"}}' ;;
    STATUS.*'"behave":"full"'*) echo '{{"code":50,"msg":"no more room"}}'; exit 1 ;;
    GC.*'"behave":"deaf"'*) echo '{{"code":4,"msg":"what is GC"}}'; exit 1 ;;
esac
"""


class Plugins:
    """A directory of plugins that write down how they are called."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "plugins"
        self.log = directory / "plugin-log"
        self.go = directory / "go"
        self.path.mkdir()
        self.log.mkdir()
        for name in ("one", "two"):
            (self.path / name).write_text(PLUGIN.format(log=self.log))
            (self.path / name).chmod(0o755)

    def calls(self) -> list[str]:
        """PLUGIN.COMMAND of all calls so far, in their order."""
        paths = (p for p in self.log.iterdir() if p.suffix != ".environment")
        return [
            path.name.partition(".")[2]
            for path in sorted(paths, key=lambda path: int(path.name.partition(".")[0]))
        ]

    def config(self, call: str) -> Any:
        """The configuration of the last call of this kind."""
        found = sorted(self.log.glob(f"*.{call}"), key=lambda p: int(p.name.partition(".")[0]))
        return json.loads(found[-1].read_text())

    def environment(self, name: str) -> dict[str, str]:
        """The environment of the first call of a plugin."""
        found = min(
            self.log.glob(f"*.{name}.environment"), key=lambda p: int(p.name.partition(".")[0])
        )
        return dict(line.split("=", 1) for line in found.read_text().splitlines())


@pytest.fixture
def plugins(sandbox: Sandbox) -> Plugins:
    return Plugins(sandbox.directory)


def test_chain(host: Host, conflist: MakeConflist, plugins: Plugins) -> None:
    """Results are handed on, DEL goes backwards, capabilities reach those who declare them."""
    network = conflist(
        "chain",
        {"type": "one", "capabilities": {"portMappings": True}, "own": [1, {"x": None}]},
        {"type": "two", "capabilities": {"mac": True, "ips": False}},
    )
    options = ("--cni-path", f"/nowhere:{plugins.path}", "--network", network)
    asked = ("--publish", "[::1]:80:81/udp", "--mac", "02:00:00:00:00:07", "--ip", "10.9.0.7")
    container = host.container(*options, *asked)
    assert plugins.calls() == ["one.ADD", "two.ADD"]
    first, second = plugins.config("one.ADD"), plugins.config("two.ADD")
    mapping = {"hostPort": 80, "containerPort": 81, "protocol": "udp", "hostIP": "::1"}
    assert first == {
        "cniVersion": "1.0.0",
        "name": "chain",
        "type": "one",
        "own": [1, {"x": None}],
        "runtimeConfig": {"portMappings": [mapping]},
    }
    assert second["runtimeConfig"] == {"mac": "02:00:00:00:00:07"}
    result = second["prevResult"]
    assert (result["by"], result["cniVersion"]) == ("one", "1.0.0")
    host.net("check")
    assert plugins.calls()[2:] == ["one.CHECK", "two.CHECK"]
    assert plugins.config("one.CHECK")["prevResult"]["by"] == "two"
    # What was configured is kept: DEL needs no file.
    os.unlink(network)
    container.stop()
    assert plugins.calls()[4:] == ["two.DEL", "one.DEL"]
    last = plugins.config("one.DEL")
    assert last["prevResult"]["by"] == "two"
    assert {**last, "prevResult": 0} == {**first, "prevResult": 0}
    container.hook(status="stopped")
    assert len(plugins.calls()) == 6


def test_clean_environment(host: Host, conflist: MakeConflist, plugins: Plugins) -> None:
    """Plugins get what the specification names, and a PATH; nothing of the caller's."""
    evil = {"LD_PRELOAD": "x", "CNI_PATH": "/evil", "CNI_ARGS": "IP=1.2.3.4", "PATH": "/evil"}
    evil |= {"PYTHONPATH": "/evil", "PYTHONSTARTUP": "/evil/x", "IFS": "/"}
    container = host.container(attach=False)
    network = conflist("one", {"type": "one"})
    document = {"id": container.id, "status": "creating", "pid": container.pid, "bundle": "/b"}
    command = [str(host.program), "--state", str(host.state), "--network", network]
    words = [f"{name}={value}" for name, value in evil.items()]
    host.run(
        "env", *words, *command, "--cni-path", str(plugins.path), input=json.dumps(document)
    )  # fmt: skip
    found = plugins.environment("one")
    for added_by_shell in ("PWD", "SHLVL", "_", "OLDPWD"):
        found.pop(added_by_shell, None)
    assert found == {
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": container.id,
        "CNI_NETNS": str(host.state / "netns" / os.listdir(host.state / "netns")[0]),
        "CNI_IFNAME": "eth0",
        "CNI_PATH": str(plugins.path),
        "CNI_ARGS": "",
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    }
    document |= {"status": "stopped"}
    host.run(*command[:3], input=json.dumps(document))


@pytest.mark.parametrize(
    ("behave", "words"),
    [
        ("refuse", ": no luck (code 107); today; it said: first words | last words"),
        ("crash", " failed with signal 9; it said: Segmentation fault"),
        ("babble", ": its result cannot be read"),
    ],
)
def test_failing_plugin(
    host: Host, conflist: MakeConflist, plugins: Plugins, behave: str, words: str
) -> None:
    """Who failed and what he said, in one line; all that were called are called to take it back."""
    container = host.container(attach=False)
    network = conflist(
        "bad", bridge("10.1.0.0/24"), {"type": "one", "behave": behave}, {"type": "two"}
    )
    path = ("--cni-path", str(plugins.path))
    done = container.hook(*path, "--network", network, "--publish", "81:80", check=False)
    assert done.returncode == 1
    assert f"network bad: plugin one (ADD){words}" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert plugins.calls() == ["one.ADD", "one.DEL"]
    assert host.net("ls").stdout.splitlines()[1:] == []


def test_gc_and_status(host: Host, conflist: MakeConflist, plugins: Plugins) -> None:
    """CNI 1.1: GC names the living; STATUS is asked; neither is for older networks."""
    path = ("--cni-path", str(plugins.path))
    new = conflist("new", {"type": "one", "behave": "full"}, version="1.1.0")
    old = conflist("old", {"type": "two"})
    living = host.container(*path, "--network", new, "--network", old)
    host.container(*path, "--network", new).end()
    done = host.net("check", check=False)
    assert "network new: plugin one (STATUS): no more room (code 50)" in done.stderr
    assert "two.STATUS" not in plugins.calls()
    host.net("gc")
    entry = {"containerID": living.id, "ifname": "eth0"}
    assert plugins.config("one.GC")["cni.dev/valid-attachments"] == [entry]
    assert "two.GC" not in plugins.calls()


def test_versions_of_a_network(host: Host, sandbox: Sandbox, plugins: Plugins) -> None:
    """The highest of cniVersions that we know; none is an error."""
    path = sandbox.directory / "versions.conflist"
    document = {"cniVersion": "0.4.0", "name": "several", "plugins": [{"type": "one"}]}
    path.write_text(json.dumps(document | {"cniVersions": ["1.0.0", "9.0.0", "0.4.0"]}))
    options = ("--cni-path", str(plugins.path), "--network", str(path))
    host.container(*options)
    assert plugins.config("one.ADD")["cniVersion"] == "1.0.0"
    path.write_text(json.dumps(document | {"cniVersion": "9.0.0"}))
    done = host.container(attach=False).hook(*options, check=False)
    assert "cniVersion '9.0.0' is not supported; use one of 0.3.0, " in done.stderr


def test_newcomers_are_no_garbage(host: Host, conflist: MakeConflist, plugins: Plugins) -> None:
    """gc waits for those who are just joining."""
    network = conflist("slow", bridge("10.1.0.0/24"), {"type": "one", "behave": "wait"})
    container = host.container(attach=False)
    options = ("--cni-path", str(plugins.path), "--network", network)
    done: list[str] = []
    joining = threading.Thread(target=lambda: done.append(container.hook(*options).stderr))
    joining.start()
    deadline = time.monotonic() + PATIENCE
    while plugins.calls() != ["one.ADD"]:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    collecting = threading.Thread(target=lambda: done.append(host.net("gc").stdout))
    collecting.start()
    collecting.join(0.3)
    assert done == []
    plugins.go.touch()
    joining.join()
    collecting.join()
    assert done == ["", ""]
    assert host.ip("link", "show", "master", "br0")


def example_of_the_page() -> dict[str, Any]:
    """The configuration that docs/networking.md shows, word by word."""
    page = (Path(__file__).parents[2] / "docs" / "networking.md").read_text()
    text = page.partition("as a list (conflist) or a single plugin:\n\n")[2].partition("\n\n")[0]
    example: dict[str, Any] = json.loads(text)
    return example


@pytest.mark.parametrize("others", ["ours", "standard"])
def test_two_networks_with_a_default_route(
    host: Host, sandbox: Sandbox, conflist: MakeConflist, others: str
) -> None:
    """The first one has it, as with the standard plugins; both have their subnets."""
    page = sandbox.directory / "both.conflist"
    page.write_text(json.dumps(example_of_the_page()))
    pool = {"type": "host-local", "dataDir": str(host.state / "x"), "subnet": "10.1.0.0/24"}
    plain = {"type": "bridge", "bridge": "br0", "isDefaultGateway": True, "ipam": pool}
    first = "bridge" if others == "ours" else conflist("plain", plain)
    container = host.container("--network", first, "--network", str(page))
    routes = container.ip("route")
    (default,) = [route for route in routes if route["dst"] == "default"]
    assert default["dev"] == "eth0"
    assert {route["dst"]: route["dev"] for route in routes}["10.90.0.0/24"] == "eth1"
    (default,) = [route for route in container.ip("-6", "route") if route["dst"] == "default"]
    assert default["dev"] == "eth1"
    if others == "standard":
        container.stop()
        host.run("ip", "link", "del", "br0")
        return
    swapped = host.container("--network", str(page), "--network", first)
    (default,) = [route for route in swapped.ip("route") if route["dst"] == "default"]
    assert (default["dev"], default["gateway"]) == ("eth0", "10.90.0.1")
