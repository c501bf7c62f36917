"""Idmapped mounts: the options idmap and ridmap, mappings of one mount (config.md, "POSIX-platform
Mounts").
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.bundle import Bundle
from tests.support.runtime import Runtime
from tests.support.sandbox import Sandbox
from tests.support.verdict import assert_clear

MakeBundle = Callable[..., Bundle]
# On disk 0..999 appear as 5000..5999, and 1000 as root.
SWAPPED = [
    {"containerID": 0, "hostID": 5000, "size": 1000},
    {"containerID": 1000, "hostID": 0, "size": 1},
]
CONTAINER = [{"containerID": 0, "hostID": 100_000, "size": 65536}]
OWNERS = "stat -c %u:%g /mnt/root /mnt/user"


@pytest.fixture
def source(sandbox: Sandbox) -> Iterator[Path]:
    """A directory with a file of uid 0, one of uid 1000, and a tmpfs with a file of uid 0."""
    directory = sandbox.directory / "source"
    (directory / "sub").mkdir(parents=True)
    directory.chmod(0o777)
    (directory / "root").touch()
    (directory / "user").touch()
    os.chown(directory / "user", 1000, 1000)
    subprocess.run(["mount", "-t", "tmpfs", "none", directory / "sub"], check=True)
    (directory / "sub" / "root").touch()
    yield directory
    subprocess.run(["umount", directory / "sub"], check=True)


def idmapped(made: Bundle, *options: str, mappings: object = SWAPPED) -> Bundle:
    made.config["mounts"][-1]["options"] = list(options)
    if mappings:
        made.config["mounts"][-1].update(uidMappings=mappings, gidMappings=mappings)
    return made


def in_user_namespace(made: Bundle) -> Bundle:
    made.add_namespace("user").set("/linux/uidMappings", CONTAINER)
    return made.set("/linux/gidMappings", CONTAINER)


@pytest.mark.parametrize("options", [["bind", "idmap"], ["bind"], ["rbind", "idmap", "ro"]])
def test_mappings_of_the_mount(
    runtime: Runtime, bundle: MakeBundle, source: Path, options: list[str]
) -> None:
    """With the option and without: mappings alone ask for it, too."""
    made = idmapped(bundle().bind(source, "/mnt"), *options)
    assert runtime.run_output(made, OWNERS).split() == ["5000:5000", "0:0"]


def test_what_is_created_is_mapped_back(runtime: Runtime, bundle: MakeBundle, source: Path) -> None:
    made = idmapped(bundle().bind(source, "/mnt"), "bind", "idmap")
    runtime.run_output(made, "touch /mnt/new")
    assert (source / "new").stat().st_uid == 1000


def test_an_owner_without_mapping_cannot_create(
    runtime: Runtime, bundle: MakeBundle, source: Path
) -> None:
    """EOVERFLOW: the filesystem has no id for it."""
    made = idmapped(bundle().bind(source, "/mnt"), "bind", "idmap", mappings=SWAPPED[:1])
    assert "no" in runtime.run_output(made, "touch /mnt/new 2>/dev/null || echo no")
    assert not (source / "new").exists()


@pytest.mark.parametrize(("option", "below"), [("idmap", "0"), ("ridmap", "5000")])
def test_only_ridmap_is_recursive(
    runtime: Runtime, bundle: MakeBundle, source: Path, option: str, below: str
) -> None:
    made = idmapped(bundle().bind(source, "/mnt"), "rbind", option)
    assert runtime.run_output(made, "stat -c %u /mnt/root /mnt/sub/root").split() == ["5000", below]


@pytest.mark.parametrize("option", ["idmap", "ridmap"])
def test_mappings_of_the_container(
    runtime: Runtime, bundle: MakeBundle, source: Path, option: str
) -> None:
    """Without mappings of its own the mount takes those of the user namespace."""
    made = in_user_namespace(bundle().bind(source, "/mnt"))
    idmapped(made, "rbind", option, mappings=None)
    assert runtime.run_output(made, f"{OWNERS}; touch /mnt/new").split() == ["0:0", "1000:1000"]
    assert (source / "new").stat().st_uid == 0


def test_mappings_of_a_joined_namespace(runtime: Runtime, bundle: MakeBundle, source: Path) -> None:
    first = in_user_namespace(bundle(["sleep", "100"]))
    pid = runtime.pid(runtime.up(first))
    made = bundle().bind(source, "/mnt").add_namespace("user", f"/proc/{pid}/ns/user")
    idmapped(made, "bind", "idmap", mappings=None)
    assert runtime.run_output(made, OWNERS).split() == ["0:0", "1000:1000"]


def test_new_filesystem(runtime: Runtime, bundle: MakeBundle) -> None:
    """Its root belongs to uid 0 on disk, which is nobody's business here."""
    made = idmapped(bundle().add_mount("/mnt", "tmpfs", "tmpfs"), "idmap", "mode=777")
    script = "stat -c %u /mnt; touch /mnt/new; stat -c %u /mnt/new"
    assert runtime.run_output(made, script).split() == ["5000", "0"]


def test_new_filesystem_of_the_container(runtime: Runtime, bundle: MakeBundle) -> None:
    made = in_user_namespace(bundle().add_mount("/mnt", "tmpfs", "tmpfs"))
    idmapped(made, "idmap", "mode=755", mappings=None)
    script = "touch /mnt/new; chown 7 /mnt/new; stat -c %u /mnt /mnt/new"
    assert runtime.run_output(made, script).split() == ["0", "7"]


def test_new_filesystem_with_a_copy(runtime: Runtime, bundle: MakeBundle) -> None:
    """Tmpcopyup fills an idmapped tmpfs as any other."""
    made = in_user_namespace(bundle().add_mount("/etc", "tmpfs", "tmpfs"))
    idmapped(made, "idmap", "tmpcopyup", "ro", mappings=None)
    script = "cat /etc/hosts; touch /etc/new 2>/dev/null || echo readonly"
    assert runtime.run_output(made, script).splitlines() == ["127.0.0.1 localhost", "readonly"]


@pytest.mark.parametrize(
    ("mappings", "owners"),
    [
        ("uids=0-5000-1000#1000-0-1;gids=0-6000-1000#1000-0-1", ["5000:6000", "0:0"]),
        # Behind @ ids of the container, whose mappings put them 100000 higher.
        ("uids=@0-7-1000#1000-0-1;gids=@0-8-1000#1000-0-1", ["7:8", "0:0"]),
    ],
)
def test_mappings_in_the_option(
    runtime: Runtime, bundle: MakeBundle, source: Path, mappings: str, owners: list[str]
) -> None:
    """crun's way to write them, which podman passes on."""
    made = bundle().bind(source, "/mnt", ["bind", f"idmap={mappings}"])
    if "@" in mappings:
        in_user_namespace(made)
    assert runtime.run_output(made, OWNERS).split() == owners


def test_option_too_long_for_an_idmapped_filesystem(runtime: Runtime, bundle: MakeBundle) -> None:
    """fsconfig(2) takes 255 bytes, and mount(2) makes nothing that could be idmapped still."""
    made = idmapped(bundle().add_mount("/mnt", "tmpfs", "tmpfs"), "idmap", "context=" + 256 * "x")
    assert_clear(runtime, runtime.create(made), "/mnt", "255 bytes", "remove idmap")


@pytest.mark.parametrize("kind", ["proc", "bind"])
def test_filesystem_without_support(runtime: Runtime, bundle: MakeBundle, kind: str) -> None:
    made = bundle().add_mount("/mnt", kind, "/proc")
    idmapped(made, *(["bind", "idmap"] if kind == "bind" else ["idmap"]))
    assert_clear(runtime, runtime.create(made), "/mnt", "filesystem proc", "idmap")


def test_no_mappings_at_all(runtime: Runtime, bundle: MakeBundle, source: Path) -> None:
    made = idmapped(bundle().bind(source, "/mnt"), "bind", "idmap", mappings=None)
    assert_clear(runtime, runtime.create(made), "mappings")


@pytest.mark.parametrize("options", [["remount", "idmap"], ["idmap"]])
def test_what_cannot_be_idmapped(runtime: Runtime, bundle: MakeBundle, options: list[str]) -> None:
    made = bundle().add_mount("/sys/fs/cgroup", "cgroup", "cgroup")
    assert_clear(runtime, runtime.create(idmapped(made, *options)), "cannot be idmapped")
