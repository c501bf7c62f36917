"""Where the source of a bind mount is looked up, and when (config.md#mounts: "in the listed
order").
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from conformance.mounts import parse_mountinfo
from tests.support.bundle import Bundle
from tests.support.canary import Canary
from tests.support.nested import FIRST
from tests.support.runtime import Runtime
from tests.support.sandbox import Sandbox
from tests.support.verdict import assert_clear

MakeBundle = Callable[..., Bundle]
NESTED = Path(__file__).parents[1] / "support/nested.py"
UP = "../" * 12


def with_user_namespace(made: Bundle, first: int = FIRST) -> Bundle:
    for path in (made.rootfs, *made.rootfs.rglob("*")):
        os.lchown(path, first, first)
    made.add_namespace("user")
    for kind in ("uidMappings", "gidMappings"):
        made.set(f"/linux/{kind}", [{"containerID": 0, "hostID": first, "size": 1000}])
    return made


@pytest.fixture
def source(sandbox: Sandbox) -> Path:
    made = sandbox.directory / "source"
    (made / "sub").mkdir(parents=True)
    (made / "sub/file").write_text("below the source\n")
    (made / "file").write_text("of the source\n")
    return made


@pytest.mark.parametrize("user", [False, True], ids=["root", "user-namespace"])
@pytest.mark.parametrize("relative", [False, True], ids=["absolute", "relative"])
def test_a_source_on_an_earlier_mount(
    runtime: Runtime, bundle: MakeBundle, source: Path, user: bool, relative: bool
) -> None:
    made = with_user_namespace(bundle()) if user else bundle()
    root = Path("rootfs") if relative else made.rootfs
    made.bind(source, "/mnt")
    made.bind(root / "mnt/sub", "/home", ["bind"])
    made.bind(root / "mnt/file", "/var/file", ["bind", "ro"])
    made.add_mount("/tmp", "tmpfs", "tmpfs")
    (made.rootfs / "tmp/hidden").write_text("")
    made.bind(root / "tmp", "/run", ["rbind"])
    script = "cat /home/file /var/file; ls /run; touch /run/new; ls /tmp"
    assert runtime.run_output(made, script).splitlines() == [
        "below the source",
        "of the source",
        "new",
    ]


def test_a_source_below_a_later_mount(runtime: Runtime, bundle: MakeBundle, source: Path) -> None:
    made = bundle()
    (made.rootfs / "mnt/file").write_text("of the image\n")
    made.bind(made.rootfs / "mnt", "/home", ["bind"]).bind(source, "/mnt")
    assert runtime.run_output(made, "cat /home/file /mnt/file").splitlines() == [
        "of the image",
        "of the source",
    ]


def test_the_place_that_an_earlier_mount_made(
    runtime: Runtime, bundle: MakeBundle, source: Path
) -> None:
    made = bundle().bind(source / "file", "/made/there/file")
    made.bind(made.rootfs / "made", "/mnt", ["rbind"])
    assert runtime.run_output(made, "cat /mnt/there/file").strip() == "of the source"


@pytest.mark.parametrize("link", ["%s", UP + "%s"], ids=["absolute", "relative"])
@pytest.mark.parametrize("on", ["an earlier mount", "the rootfs"])
def test_a_symlink_there_stays_inside(
    runtime: Runtime, bundle: MakeBundle, source: Path, canary: Canary, link: str, on: str
) -> None:
    """What lies there is the image's, or a volume's: it does not choose what of the host is shown,
    although the peers let it.
    """
    made = bundle()
    place = made.rootfs / "mnt"
    if on == "an earlier mount":
        made.bind(source, "/mnt")
        place = source
    (place / "link").symlink_to(link.replace("%s", str(canary.path)))
    made.bind(made.rootfs / "mnt/link/dir", "/home", ["rbind"])
    assert_clear(runtime, runtime.create(made), "mnt/link/dir", "ENOENT", "container's root")
    inside = Path(f"{made.rootfs}{canary.path}/dir")
    inside.mkdir(parents=True)
    (inside / "file").write_text("inside\n")
    assert runtime.run_output(made, "cat /home/file").strip() == "inside"
    canary.check()


@pytest.mark.parametrize("alias", ["of the rootfs", "below it", "of a part", "root.path is one"])
def test_a_symlink_of_the_host_into_the_rootfs(
    runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox, canary: Canary, alias: str
) -> None:
    """By whatever name the source leads into the rootfs, from there on the image's links stay
    inside, although the peers follow them to the host.
    """
    made = bundle()
    (made.rootfs / "mnt/link").symlink_to(canary.path)
    link = sandbox.directory / "alias"
    leads_to, source = {
        "of the rootfs": (made.rootfs, link / "mnt/link/dir"),
        "below it": (made.rootfs / "mnt", link / "link/dir"),
        "of a part": (made.path.parent, link / made.path.name / "rootfs/mnt/link/dir"),
        "root.path is one": (made.rootfs, made.rootfs / "mnt/link/dir"),
    }[alias]
    link.symlink_to(os.path.relpath(leads_to, link.parent))
    if alias == "root.path is one":
        made.set("/root/path", str(link))
    made.bind(source, "/home", ["rbind"])
    assert_clear(runtime, runtime.create(made), "link/dir", "ENOENT")
    inside = Path(f"{made.rootfs}{canary.path}/dir")
    inside.mkdir(parents=True)
    (inside / "file").write_text("inside\n")
    assert runtime.run_output(made, "cat /home/file").strip() == "inside"
    canary.check()


def test_symlinks_of_the_host(
    runtime: Runtime, bundle: MakeBundle, source: Path, sandbox: Sandbox
) -> None:
    """What leads elsewhere does so as ever, procfs's magic links included."""
    first, second = sandbox.directory / "first", sandbox.directory / "second"
    first.symlink_to(source)
    second.symlink_to(os.path.relpath(first, second.parent))
    made = bundle().bind(second / "file", "/var/file", ["bind", "ro"])
    made.bind(second / "sub/../sub", "/home", ["rbind"])
    made.bind(Path(f"/proc/{os.getpid()}/root/{first}"), "/mnt", ["rbind"])
    made.bind(first, "/link", ["bind", "src-nofollow", "copy-symlink"])
    script = "cat /var/file /home/file /mnt/file; readlink /link"
    if not runtime.is_ours:
        pytest.skip("others have not every option")
    said = ["of the source", "below the source", "of the source", str(source)]
    assert runtime.run_output(made, script).splitlines() == said


def test_a_magic_link_leads_nowhere(runtime: Runtime, bundle: MakeBundle) -> None:
    """The container's /proc/self is still init's, whose cwd is the host's."""
    made = bundle(args=["/bin/true"])
    made.bind(made.rootfs / "proc/self/cwd", "/mnt", ["bind"])
    assert_clear(runtime, runtime.create(made), "proc/self/cwd", "magic")


def test_a_source_that_is_idmapped(runtime: Runtime, bundle: MakeBundle, source: Path) -> None:
    for path in (source, *source.rglob("*")):
        os.chown(path, 1000, 1000)
    made = bundle().bind(source, "/mnt").bind(bundle().rootfs.parent, "/var")
    made.bind(made.rootfs / "mnt/sub", "/home", ["bind", "idmap"])
    for kind in ("uidMappings", "gidMappings"):
        made.config["mounts"][-1][kind] = [{"containerID": 1000, "hostID": 7, "size": 1}]
    script = "stat -c %u /mnt/sub/file /home/file"
    assert runtime.run_output(made, script).split() == ["1000", "7"]


@pytest.mark.parametrize("option", ["idmap", "ridmap"])
def test_a_symlink_to_an_idmapped_source_stays_inside(
    runtime: Runtime, bundle: MakeBundle, canary: Canary, option: str
) -> None:
    """Although the host side opens it, ahead of its turn."""
    made = with_user_namespace(bundle())
    (made.rootfs / "mnt/link").symlink_to(canary.path)
    made.bind(made.rootfs / "mnt/link/dir", "/home", ["rbind", option])
    assert_clear(runtime, runtime.create(made), "mnt/link/dir", "ENOENT", "container's root")
    inside = Path(f"{made.rootfs}{canary.path}/dir")
    inside.mkdir(parents=True)
    (inside / "file").write_text("inside\n")
    made.bind(made.rootfs / "mnt", "/var", ["bind", option])
    assert runtime.run_output(made, "cat /home/file; ls /var").split() == ["inside", "link"]
    canary.check()


@pytest.mark.parametrize("user", [False, True], ids=["its-own", "nested"])
def test_a_source_that_only_the_caller_reaches(
    runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox, source: Path, user: bool
) -> None:
    """podman's --userns=auto: the caller is root of a user namespace, the container has another
    one below it, whose root may not search the caller's directories.
    """
    if not runtime.is_ours:
        pytest.skip("other runtimes want options to run without cgroups")
    made = with_user_namespace(bundle(), FIRST + 1)
    for kind in ("uidMappings", "gidMappings"):
        made.set(f"/linux/{kind}/0/hostID", 1)
    if not user:
        made.drop_namespace("user").remove("/linux/uidMappings")
        made.remove("/linux/gidMappings")
    made.drop_mounts("/sys/fs/cgroup").drop_namespace("cgroup")
    made.remove("/linux/cgroupsPath")
    made.bind(source, "/mnt", ["rbind", "ro"])
    for path in (sandbox.directory, sandbox.bundles, made.path, source, *source.rglob("*")):
        os.chown(path, FIRST, FIRST)
    source.chmod(0o700)
    parent = source.parent / "private"
    parent.mkdir(mode=0o700)
    os.chown(parent, FIRST, FIRST)
    source.rename(parent / "source")
    made.config["mounts"][-1]["source"] = str(parent / "source/sub")
    made.shell("cat /mnt/file; cat /proc/self/mountinfo")
    result = runtime.run(made, wrapper=(sys.executable, str(NESTED))).check()
    text, _, mounts = result.stdout.partition("\n")
    assert text == "below the source"
    found = [mount for mount in parse_mountinfo(mounts) if mount.point == "/mnt"]
    assert found[-1].read_only
