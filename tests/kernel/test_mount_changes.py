"""What an entry changes of what is there already: remounts, access times, read-only paths; and the
options that say whether a symlink is followed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from conformance.mounts import Mount, parse_mountinfo
from tests.support.bundle import Bundle
from tests.support.runtime import Runtime
from tests.support.sandbox import Sandbox
from tests.support.verdict import assert_clear

MakeBundle = Callable[..., Bundle]


@pytest.fixture
def source(sandbox: Sandbox) -> Path:
    made = sandbox.directory / "source"
    made.mkdir()
    (made / "file").write_text("of the host\n")
    return made


def mounted(runtime: Runtime, made: Bundle, point: str) -> Mount:
    """The uppermost mount on ``point``."""
    mounts = parse_mountinfo(runtime.run_output(made, "cat /proc/self/mountinfo"))
    return [mount for mount in mounts if mount.point == point][-1]


def remounting(made: Bundle, *options: str) -> Bundle:
    made.add_mount("/x", "tmpfs", "tmpfs", ["size=1m", "nodev"])
    made.config["mounts"].append({"destination": "/x/", "options": ["remount", *options]})
    return made


@pytest.mark.parametrize(
    ("options", "of_mount", "of_filesystem"),
    [
        (["size=128k", "ro"], {"ro", "nodev"}, {"ro", "size=128k"}),
        (["size=128k"], {"rw", "nodev"}, {"rw", "size=128k"}),
        (["ro"], {"ro", "nodev"}, {"ro", "size=1024k"}),
        (["noexec"], {"rw", "nodev", "noexec"}, {"rw", "size=1024k"}),
        (["bind", "ro"], {"ro", "nodev"}, {"rw", "size=1024k"}),
        (["dev"], {"rw"}, {"rw", "size=1024k"}),
    ],
)
def test_remount(
    runtime: Runtime,
    bundle: MakeBundle,
    options: list[str],
    of_mount: set[str],
    of_filesystem: set[str],
) -> None:
    """As mount(8): filesystem and mount, with ``bind`` the mount alone."""
    found = mounted(runtime, remounting(bundle(), *options), "/x")
    assert of_mount <= found.options
    assert ("nodev" in found.options) == ("nodev" in of_mount)
    assert of_filesystem <= found.super_options


def test_remounts_of_one_mount(runtime: Runtime, bundle: MakeBundle) -> None:
    made = remounting(remounting(bundle(), "size=256k"), "bind", "noexec")
    made.config["mounts"].pop(-2)
    made.config["mounts"].append({"destination": "/x", "options": ["remount", "size=128k"]})
    found = mounted(runtime, made, "/x")
    assert {"noexec", "nodev"} <= found.options
    assert "size=128k" in found.super_options


def test_remount_of_what_is_not_mounted(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle()
    (made.rootfs / "x").mkdir()
    made.config["mounts"].append({"destination": "/x", "options": ["remount", "bind", "ro"]})
    done = runtime.run(made)
    assert not done.ok
    if runtime.is_ours:
        assert "nothing is mounted on /x; leave out the option remount" in done.stderr


def test_remount_of_a_read_only_dev(runtime: Runtime, bundle: MakeBundle) -> None:
    """It is made read-only late, and is a filesystem of the container like others."""
    made = bundle().drop_mounts("/dev").add_mount("/dev", "tmpfs", "tmpfs", ["size=1m", "ro"])
    made.config["mounts"].append({"destination": "/dev", "options": ["remount", "size=128k"]})
    found = mounted(runtime, made, "/dev")
    assert "ro" in found.options or not runtime.is_ours  # as runc and crun, whose remount undoes it
    assert "size=128k" in found.super_options


def test_remount_is_about_what_is_uppermost(runtime: Runtime, bundle: MakeBundle) -> None:
    """An idmapped filesystem, too, and not what it covers."""
    mapping = [{"containerID": 0, "hostID": 100_000, "size": 65536}]
    made = bundle().add_mount("/x", "tmpfs", "tmpfs", ["nodev"])
    made.add_mount("/x", "tmpfs", "tmpfs", ["nosuid", "size=1m"])
    made.config["mounts"][-1].update(uidMappings=mapping, gidMappings=mapping)
    made.config["mounts"].append({"destination": "/x", "options": ["remount", "bind", "noexec"]})
    if not runtime.is_ours:
        pytest.skip("others idmap no tmpfs")
    mounts = parse_mountinfo(runtime.run_output(made, "cat /proc/self/mountinfo"))
    both = [mount.options for mount in mounts if mount.point == "/x"]
    assert [("noexec" in options) == ("nosuid" in options) for options in both] == [True, True]


def test_remount_of_a_mount_that_is_elsewhere_by_then(
    runtime: Runtime, bundle: MakeBundle, source: Path
) -> None:
    """Who shares the rootfs may move a mount point; here a later mount of the config hides it."""
    if not runtime.is_ours:
        pytest.skip("others look for it by its path")
    made = bundle().bind(source, "/mnt/x").bind(source, "/mnt", ["bind"])
    made.config["mounts"].append({"destination": "/mnt/x", "options": ["remount", "bind", "ro"]})
    assert "ro" in mounted(runtime, made, "/mnt/x").options


def test_remount_with_an_option_that_the_filesystem_does_not_know(
    runtime: Runtime, bundle: MakeBundle
) -> None:
    made = remounting(bundle(), "no-such-option=1")
    assert_clear(runtime, runtime.create(made), "/x", "no-such-option")


@pytest.mark.parametrize("options", [["size=64k"], ["bind", "size=64k"]])
def test_remount_does_not_change_a_filesystem_of_the_host(
    runtime: Runtime, bundle: MakeBundle, source: Path, options: list[str]
) -> None:
    if not runtime.is_ours:
        pytest.skip("others change it, or leave the option out")
    made = bundle().bind(source, "/x")
    made.config["mounts"].append({"destination": "/x", "options": ["remount", *options]})
    assert_clear(runtime, runtime.create(made), "/x", "size=64k", "not this container's")


def test_remount_read_only_of_a_bind_mount_leaves_the_filesystem(
    runtime: Runtime, bundle: MakeBundle, source: Path
) -> None:
    made = bundle().bind(source, "/x")
    made.config["mounts"].append({"destination": "/x", "options": ["remount", "ro"]})
    found = mounted(runtime, made, "/x")
    assert "ro" in found.options
    assert "rw" in found.super_options


# The source's option, the bind mount's, what it then has and has not.
TIMES = [
    ("noatime", "norelatime", "noatime", "relatime"),
    ("strictatime", "norelatime", "rw", "relatime"),
    ("strictatime", "norelatime", "rw", "noatime"),
    ("relatime", "norelatime", "relatime", "noatime"),
    ("noatime", "nostrictatime", "noatime", "relatime"),
    ("strictatime", "nostrictatime", "relatime", "noatime"),
    ("strictatime", "atime", "rw", "relatime"),
    ("noatime", "atime", "relatime", "noatime"),
    ("noatime", "diratime", "noatime", "relatime"),
]


@pytest.mark.parametrize(("before", "option", "has", "lacks"), TIMES)
def test_what_takes_back_another_access_time_leaves_this_one(
    runtime: Runtime, bundle: MakeBundle, before: str, option: str, has: str, lacks: str
) -> None:
    made = bundle().add_mount("/x", "tmpfs", "tmpfs", [before])
    made.bind(made.rootfs / "x", "/y", ["bind", option])
    found = mounted(runtime, made, "/y").options
    assert has in found
    assert lacks not in found


def test_an_option_that_nobody_knows(runtime: Runtime, bundle: MakeBundle, source: Path) -> None:
    """A bind mount has no filesystem that would refuse it, so it is told."""
    if not runtime.is_ours:
        pytest.skip("ociruntime's own warning")
    made = bundle(["cat", "/x/file"]).bind(source, "/x", ["bind", "bogus", "x-note=1", "foo=1"])
    result = runtime.run(made).check()
    assert result.stdout == "of the host\n"
    assert "mounts[7] /x (bind): unknown, and left out: bogus, foo=1" in result.stderr


def test_an_option_of_a_whole_hierarchy(runtime: Runtime, bundle: MakeBundle) -> None:
    """It would be the host's, so it is left out, and told."""
    if not runtime.is_ours:
        pytest.skip("ociruntime's own warning")
    made = bundle(["true"])
    made.mount("/sys/fs/cgroup")["options"] += ["nsdelegate", "x-note=1"]
    said = runtime.run(made).check().stderr
    assert "/sys/fs/cgroup (cgroup): the host's to set, and left out: nsdelegate\n" in said


def test_a_read_only_path_is_not_what_is_mounted_below_it(
    runtime: Runtime, bundle: MakeBundle, source: Path
) -> None:
    made = bundle().add_mount("/x", "tmpfs", "tmpfs").bind(source, "/x/volume")
    made.set("/linux/readonlyPaths", ["/x"])
    made.shell("touch /x/no; touch /x/volume/new && echo written")
    result = runtime.run(made)
    assert result.stdout == "written\n"
    assert "Read-only file system" in result.stderr
    assert (source / "new").exists()


@pytest.fixture
def links(bundle: MakeBundle, source: Path) -> Bundle:
    made = bundle()
    (source / "link").symlink_to("file")
    (made.rootfs / "link").symlink_to("mnt/target")
    (made.rootfs / "mnt/target").write_text("of the image\n")
    return made


@pytest.mark.parametrize("destination", ["/link", "/new"])
def test_the_destination_is_not_followed(
    runtime: Runtime, links: Bundle, source: Path, destination: str
) -> None:
    links.bind(source / "file", destination, ["bind", "dest-nofollow"])
    script = f"test -f {destination} && ! test -L {destination} && cat {destination} mnt/target"
    assert runtime.run_output(links, script).splitlines() == ["of the host", "of the image"]
    assert (links.rootfs / "link").is_symlink()


def test_a_filesystem_is_not_mounted_on_a_symlink(runtime: Runtime, links: Bundle) -> None:
    (links.rootfs / "link").unlink()
    (links.rootfs / "link").symlink_to("mnt")
    links.add_mount("/link", "tmpfs", "tmpfs", ["dest-nofollow"])
    assert_clear(runtime, runtime.create(links), "/link", "not a directory")


def test_the_source_is_not_followed(runtime: Runtime, links: Bundle, source: Path) -> None:
    links.bind(source / "link", "/link", ["bind", "src-nofollow", "dest-nofollow"])
    assert runtime.run_output(links, "readlink /link").strip() == "file"


@pytest.mark.parametrize("there", ["nothing", "the same", "another", "a file"])
def test_a_symlink_is_copied(runtime: Runtime, links: Bundle, source: Path, there: str) -> None:
    place = links.rootfs / "mnt/copied"
    if there in ("the same", "another"):
        place.symlink_to("file" if there == "the same" else "other")
    elif there == "a file":
        place.write_text("mine\n")
    links.bind(source / "link", "/mnt/copied", ["bind", "copy-symlink"])
    if there in ("another", "a file"):
        assert_clear(runtime, runtime.create(links), "/mnt/copied", "no symlink to file")
        return
    links.shell("readlink /mnt/copied; cat /proc/self/mountinfo")
    target, *mounts = runtime.run(links).check().stdout.splitlines()
    assert target == "file"
    assert not any(mount.point == "/mnt/copied" for mount in parse_mountinfo("\n".join(mounts)))


def test_what_is_no_symlink_is_mounted(runtime: Runtime, links: Bundle, source: Path) -> None:
    links.bind(source / "file", "/mnt/copied", ["bind", "copy-symlink"])
    assert runtime.run_output(links, "cat /mnt/copied") == "of the host\n"


def test_a_failing_create_takes_a_copied_symlink_away(
    runtime: Runtime, links: Bundle, source: Path
) -> None:
    links.bind(source / "link", "/mnt/copied", ["bind", "copy-symlink"])
    links.args = ["/no/such/program"]
    assert_clear(runtime, runtime.create(links), "/no/such/program")
    assert not (links.rootfs / "mnt/copied").is_symlink()
