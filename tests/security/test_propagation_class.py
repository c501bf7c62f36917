"""No mount that we make is the host's peer, whatever makes it, unless the config asks for that.

Everything that is mounted on the host side of this test is shared, as on every host with systemd. A
mount in a peer group of the host would show there what the container mounts below it, and could not
be taken away again.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from conformance.mounts import parse_mountinfo

if TYPE_CHECKING:
    from tests.security.conftest import MakeBundle
    from tests.support.bundle import Bundle
    from tests.support.runtime import Runtime
    from tests.support.sandbox import Sandbox

MAPPING = [{"containerID": 0, "hostID": 100_000, "size": 65536}]
# Runs the runtime where everything is shared, and what is mounted there before and after it.
SHARED = """
mount --make-rshared /
mount -t tmpfs tmpfs {source}
mkdir {source}/sub {source}/dir
mount -t tmpfs tmpfs {source}/sub
echo x >{source}/file
ln -s file {source}/link
cat /proc/self/mountinfo >{log}.before
"$@"
status=$?
cat /proc/self/mountinfo >{log}.after
exit $status
"""


def peers(line: str) -> set[str]:
    """The numbers of the peer groups that a line of mountinfo is in (``shared:N``)."""
    fields = line.partition(" - ")[0].split()[6:]
    return {field.partition(":")[2] for field in fields if field.startswith("shared:")}


def table(path: Path) -> list[str]:
    return path.read_text().splitlines()


class Shared:
    """The runtime in a namespace where everything is shared."""

    def __init__(self, runtime: Runtime, sandbox: Sandbox) -> None:
        self.runtime = runtime
        self.source = sandbox.directory / "source"
        self.source.mkdir()
        self.log = sandbox.logs / "mounts"

    def run(self, made: Bundle) -> list[str]:
        """The container's mounts; nothing of them is left, or seen, outside."""
        script = SHARED.format(source=self.source, log=self.log)
        wrapper = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"]
        made.shell("cat /proc/self/mountinfo")
        output = self.runtime.run(made, wrapper=wrapper).check().stdout
        before, after = (table(Path(f"{self.log}.{when}")) for when in ("before", "after"))
        assert before == after
        return output.splitlines()

    def peers_of_host(self) -> set[str]:
        return set[str]().union(*map(peers, table(Path(f"{self.log}.before"))))


@pytest.fixture
def shared(runtime: Runtime, sandbox: Sandbox) -> Shared:
    return Shared(runtime, sandbox)


def with_every_kind(made: Bundle, source: Path) -> Bundle:
    """Each way in which we mount something."""
    made.bind(source, "/bind", ["bind"])
    made.bind(source, "/rbind", ["rbind"])
    made.bind(source / "file", "/file", ["bind", "ro"])
    made.bind(source / "link", "/symlink", ["bind", "src-nofollow", "dest-nofollow"])
    made.bind(source / "sub", "/recursive", ["rbind", "rro"])
    made.bind(made.rootfs / "rbind/sub", "/inside", ["rbind"])
    made.add_mount("/tmpfs", "tmpfs", "tmpfs", ["tmpcopyup"])
    made.config["mounts"].append({"destination": "/tmpfs", "options": ["remount", "nosuid"]})
    made.add_mount("/run", "tmpfs", "tmpfs", ["ro"])
    made.set("/linux/maskedPaths", ["/etc/hosts", "/home", "/proc/keys", "/sys/firmware"])
    made.set("/linux/readonlyPaths", ["/proc/sys", "/rbind", "/etc/passwd"])
    return made


def in_user_namespace(made: Bundle) -> Bundle:
    for path in (made.rootfs, *made.rootfs.rglob("*")):
        os.lchown(path, 100_000, 100_000)
    made.add_namespace("user").set("/linux/uidMappings", MAPPING)
    made.set("/linux/gidMappings", MAPPING)
    device = {"path": "/dev/made", "type": "c", "major": 1, "minor": 3}
    return made.set("/linux/devices", [device])


@pytest.mark.parametrize("propagation", [None, "private", "rslave", "rshared"])
@pytest.mark.parametrize("where", ["root", "user-namespace", "no-cgroup-namespace"])
def test_no_mount_has_a_peer_on_the_host(
    runtime: Runtime, bundle: MakeBundle, shared: Shared, where: str, propagation: str | None
) -> None:
    made = with_every_kind(bundle(), shared.source)
    if where == "user-namespace":
        in_user_namespace(made)
    elif where == "no-cgroup-namespace":
        made.drop_namespace("cgroup")
    if propagation:
        made.set("/linux/rootfsPropagation", propagation)
    lines = shared.run(made)
    assert len(lines) > 20
    host = shared.peers_of_host()
    assert host
    for line in lines:
        assert not peers(line) & host, f"it is the host's peer: {line}"


@pytest.mark.parametrize(
    ("option", "tags"),
    [
        ("private", set()),
        ("rprivate", set()),
        ("slave", {"master"}),
        ("rslave", {"master"}),
        ("shared", {"shared"}),
        ("rshared", {"shared"}),
        ("unbindable", {"unbindable"}),
        ("runbindable", {"unbindable"}),
    ],
)
@pytest.mark.parametrize("kind", ["bind", "rbind", "tmpfs", "sysfs", "cgroup"])
def test_each_mount_has_what_its_options_ask(
    bundle: MakeBundle, shared: Shared, kind: str, option: str, tags: set[str]
) -> None:
    made = bundle()
    if kind in ("bind", "rbind"):
        made.bind(shared.source, "/x", [kind, option])
    else:
        made.add_mount("/x", kind, kind, [option])
    lines = shared.run(made)
    found = [mount for mount in parse_mountinfo("\n".join(lines)) if mount.point == "/x"]
    if "slave" in option and kind not in ("bind", "rbind"):
        tags = set()  # a new filesystem has no master
    assert found[-1].tags - {"master"} == tags - {"master"}
    assert tags <= found[-1].tags


def test_the_console(bundle: MakeBundle, shared: Shared) -> None:
    """The terminal is bound from the container's own devpts, where nothing of the host's is."""
    lines = shared.run(bundle().set("/process/terminal", True))
    (console,) = [line for line in lines if line.split()[4] == "/dev/console"]
    assert " - devpts " in console
    assert not peers(console)
    assert "master:" not in console
    host = shared.peers_of_host()
    assert not any(peers(line) & host for line in lines)


def test_what_createcontainer_hooks_see(bundle: MakeBundle, shared: Shared) -> None:
    """They are in the container's namespace, with the host's tree still there."""
    made = with_every_kind(bundle(), shared.source)
    seen = shared.log.with_name("hook")
    hook: dict[str, Any] = {
        "path": "/bin/sh", "args": ["sh", "-c", f"cat /proc/self/mountinfo >{seen}"],
        "env": ["PATH=/usr/bin:/bin"],
    }  # fmt: skip
    made.config["hooks"] = {"createContainer": [hook]}
    shared.run(made)
    host = shared.peers_of_host()
    lines = table(seen)
    assert len(lines) > len(table(Path(f"{shared.log}.before")))
    for line in lines:
        assert not peers(line) & host, f"it is the host's peer: {line}"
    assert re.search(rf"{re.escape(str(made.rootfs))}/rbind/sub", "\n".join(lines))
