"""mounts add and remove: other mounts for a running container."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conformance.mounts import parse_mountinfo
from tests.support.bundle import Bundle
from tests.support.canary import Canary
from tests.support.runtime import Result, Runtime
from tests.support.sandbox import Sandbox
from tests.support.verdict import assert_clear

MakeBundle = Callable[..., Bundle]
Entry = dict[str, Any]


@pytest.fixture
def source(sandbox: Sandbox) -> Path:
    """A directory of the host with a file in it."""
    made = sandbox.directory / "source"
    made.mkdir()
    (made / "file").write_text("the host's\n")
    return made


def bind(source: Path, destination: str, *options: str) -> Entry:
    return {
        "destination": destination,
        "type": "bind",
        "source": str(source),
        "options": ["rbind", *options],
    }


def mounts(runtime: Runtime, verb: str, container: str, *entries: Entry) -> Result:
    file = runtime.sandbox.directory / "mounts.json"
    file.write_text(json.dumps(entries))
    return runtime.call("mounts", verb, container, str(file), container=container)


def points(runtime: Runtime, container: str) -> list[str]:
    """The mount points below /mnt, in the container."""
    text = runtime.exec(container, "cat", "/proc/self/mountinfo").check().stdout
    found = [mount.point for mount in parse_mountinfo(text) if mount.point.startswith("/mnt")]
    return sorted(found)


def test_add_and_remove(runtime: Runtime, bundle: MakeBundle, source: Path) -> None:
    """A directory, a file and a filesystem, with their options; the mount points are made."""
    container = runtime.up(bundle(args=["sleep", "1000"]))
    entries = [
        bind(source, "/mnt/data", "ro"),
        bind(source / "file", "/mnt/file"),
        {"destination": "/mnt/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["size=1m"]},
        bind(source, "/mnt/tmp/below"),
    ]
    mounts(runtime, "add", container, *entries).check()
    assert points(runtime, container) == ["/mnt/data", "/mnt/file", "/mnt/tmp", "/mnt/tmp/below"]
    assert runtime.exec(container, "cat", "/mnt/data/file", "/mnt/file").stdout == (
        "the host's\nthe host's\n"
    )
    assert not runtime.exec(container, "touch", "/mnt/data/new").ok
    runtime.exec(container, "touch", "/mnt/tmp/below/new").check()
    assert (source / "new").exists()
    mounts(runtime, "remove", container, *entries[::-1]).check()
    assert points(runtime, container) == []
    again = mounts(runtime, "remove", container, entries[0])
    assert_clear(runtime, again, "/mnt/data", "nothing is mounted there")


def test_all_or_none(
    runtime: Runtime, bundle: MakeBundle, source: Path, sandbox: Sandbox
) -> None:
    """One that fails takes the others, and the mount points that were made, with it."""
    made = bundle(args=["sleep", "1000"])
    (made.rootfs / "occupied").write_text("x")
    container = runtime.up(made)
    entries = [bind(source, "/mnt/a/b"), bind(source / "file", "/mnt/f"), bind(source, "/occupied")]
    failed = mounts(runtime, "add", container, *entries)
    assert_clear(runtime, failed, "mounts[2] /occupied", "not a directory")
    assert points(runtime, container) == []
    assert not (made.rootfs / "mnt" / "a").exists()
    missing = mounts(runtime, "add", container, bind(sandbox.directory / "none", "/mnt/x"))
    assert_clear(runtime, missing, "mounts[0] /mnt/x", "does not exist on the host")
    assert not (made.rootfs / "mnt" / "x").exists()


def test_a_user_namespace(runtime: Runtime, bundle: MakeBundle, source: Path) -> None:
    """What is made belongs to the container's root; its root may be shown as the host's."""
    made = bundle(args=["sleep", "1000"])
    made.set("/linux/namespaces/-", {"type": "user"})
    maps = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    made.set("/linux/uidMappings", maps).set("/linux/gidMappings", maps)
    os.chown(made.rootfs, 100000, 100000)
    container = runtime.up(made)
    entries = bind(source, "/new/place"), bind(source, "/id", "idmap")
    mounts(runtime, "add", container, *entries).check()
    assert (made.rootfs / "new").stat().st_uid == 100000
    shown = runtime.exec(container, "stat", "-c", "%u", "/new/place/file", "/id/file").check()
    assert shown.stdout.split() == ["65534", "0"]


def test_in_later_commands(runtime: Runtime, bundle: MakeBundle, source: Path) -> None:
    """What was added is stored, once, and no longer once it is removed."""
    container = runtime.up(bundle(args=["sleep", "1000"]))
    entry = bind(source, "/mnt/data")

    def stored() -> list[Entry]:
        found = json.loads((runtime.root / container / "state.json").read_text())
        return list(found.get("added_mounts", []))

    mounts(runtime, "add", container, entry).check()
    assert stored() == [entry]
    mounts(runtime, "remove", container, entry).check()
    assert stored() == []


def test_standard_input(runtime: Runtime, bundle: MakeBundle, source: Path) -> None:
    container = runtime.up(bundle(args=["sleep", "1000"]))
    file = source.parent / "in"
    file.write_text(json.dumps([bind(source, "/mnt")]))
    with io.FileIO(str(file)) as stdin:
        runtime.call("mounts", "add", container, "-", stdin=stdin.fileno()).check()
    assert points(runtime, container) == ["/mnt"]


def test_a_link_in_the_container(
    runtime: Runtime, bundle: MakeBundle, source: Path, canary: Canary
) -> None:
    """It leads to nothing outside, neither for adding nor for removing."""
    made = bundle(args=["sleep", "1000"])
    (made.rootfs / "link").symlink_to(canary.path)
    container = runtime.up(made)
    mounts(runtime, "add", container, bind(source, "/link")).check()
    inside = made.rootfs / str(canary.path).lstrip("/")
    assert inside.is_dir()
    assert runtime.exec(container, "cat", "/link/file").check().stdout == "the host's\n"
    mounts(runtime, "remove", container, bind(source, "/link")).check()
    assert_clear(runtime, mounts(runtime, "remove", container, bind(source, "/")), "/")


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"destination": "/mnt", "type": "proc", "source": "proc"}, ["proc", "running container"]),
        ({"destination": "/mnt", "type": "cgroup", "source": "cgroup"}, ["cgroup"]),
        ({"destination": "/mnt", "type": "nosuch", "source": "x"}, ["no filesystem"]),
        ({"destination": "/proc/x", "type": "bind", "source": "/", "options": ["bind"]}, ["/proc"]),
        ({"destination": "/mnt", "type": "bind", "source": 7}, ["source"]),
        ({"type": "bind"}, ["destination"]),
    ],
)
def test_refused(runtime: Runtime, bundle: MakeBundle, entry: Entry, words: list[str]) -> None:
    container = runtime.up(bundle(args=["sleep", "1000"]))
    assert_clear(runtime, mounts(runtime, "add", container, entry), *words)
    assert points(runtime, container) == []


def test_a_container_that_has_ended(runtime: Runtime, bundle: MakeBundle, source: Path) -> None:
    container = runtime.up(bundle(args=["true"]))
    runtime.wait_for(container, "stopped")
    for verb in ("add", "remove"):
        done = mounts(runtime, verb, container, bind(source, "/mnt"))
        assert_clear(runtime, done, "container not running")


def test_plan(runtime: Runtime, bundle: MakeBundle, source: Path) -> None:
    """What would be done, and nothing is."""
    container = runtime.up(bundle(args=["sleep", "1000"]))
    file = source.parent / "plan.json"
    file.write_text(json.dumps([bind(source, "/mnt/data")]))
    words = ("plan", "mounts", "--format", "json", "add", container, str(file))
    steps = runtime.call(*words).check().json()["steps"]
    assert [step["step"] for step in steps] == ["open-rootfs", "open-source", "bind-mount"]
    assert points(runtime, container) == []
    assert_clear(runtime, runtime.call("plan", "mounts", "remove", container, str(file)), "add")


def test_usage(runtime: Runtime) -> None:
    assert_clear(runtime, runtime.call("mounts", "move", "c", "f"), "add", "remove")
    file = runtime.sandbox.directory / "object.json"
    file.write_text("{}")
    assert_clear(runtime, runtime.call("mounts", "add", "c", str(file)), "JSON array")
