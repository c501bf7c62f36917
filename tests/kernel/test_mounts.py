"""Mounts, read from the container's mountinfo (config.md, "Mounts" and "Linux mount options")."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conformance.mounts import Mount, mounts_of
from conformance.terminal import ConsoleSocket
from tests.support.bundle import Bundle
from tests.support.patience import PATIENCE
from tests.support.runtime import Runtime
from tests.support.sandbox import Sandbox
from tests.support.verdict import assert_clear

MakeBundle = Callable[..., Bundle]
RESTRICTED = "ro,nosuid,nodev,noexec,noatime,nodiratime,nosymfollow"
# option -> (must be in the mount's options, must not)
ATTRIBUTES = {
    "ro": ("ro", "rw"),
    "rw": ("rw", "ro"),
    "nosuid": ("nosuid", ""),
    "suid": ("", "nosuid"),
    "nodev": ("nodev", ""),
    "dev": ("", "nodev"),
    "noexec": ("noexec", ""),
    "exec": ("", "noexec"),
    "noatime": ("noatime", "relatime"),
    "atime": ("relatime", "noatime"),
    "relatime": ("relatime", "noatime"),
    "norelatime": ("relatime", "noatime"),
    "strictatime": ("", "relatime"),
    "nostrictatime": ("relatime", "noatime"),
    "nodiratime": ("nodiratime", ""),
    "diratime": ("", "nodiratime"),
    "nosymfollow": ("nosymfollow", ""),
    "symfollow": ("", "nosymfollow"),
}
SUPERBLOCK = {
    "sync": ("sync", ""),
    "async": ("", "sync"),
    "dirsync": ("dirsync", ""),
    "lazytime": ("lazytime", ""),
    "nolazytime": ("", "lazytime"),
}
IGNORED = ("defaults", "silent", "loud", "mand", "nomand", "iversion", "noiversion")


@pytest.fixture
def tree(sandbox: Sandbox) -> Iterator[Path]:
    """A tmpfs of the host with another below it, both with every restricting attribute."""
    top = sandbox.directory / "tree"
    top.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", top], check=True)
    (top / "sub").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", top / "sub"], check=True)
    (top / "file").write_text("top\n")
    (top / "sub/file").write_text("sub\n")
    yield top
    subprocess.run(["umount", "-R", top], check=True)


def restrict(tree: Path) -> None:
    for path in (tree / "sub", tree):
        subprocess.run(["mount", "-o", f"bind,remount,{RESTRICTED}", path], check=True)


def mounted(runtime: Runtime, bundle: Bundle, *points: str) -> list[Mount]:
    """The uppermost mounts on ``points`` in a created container."""
    pid = runtime.pid(runtime.create(bundle).check().container)
    table = {mount.point: mount for mount in mounts_of(pid)}
    return [table[point] for point in points]


@pytest.mark.parametrize("kind", ["bind", "none"])
def test_remount_of_a_bind_mount(
    runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox, kind: str
) -> None:
    """What is there becomes read-only and stays what it is; the source is not looked at (mount(2),
    "Remounting an existing mount").
    """
    source = sandbox.directory / "remounted"
    source.mkdir()
    (source / "file").touch()
    made = bundle(args=["sh", "-c", "ls /x; touch /x/y"])
    made.add_mount("/x", "bind", str(source), ["bind"])
    made.config["mounts"].append(
        {"destination": "/x", "type": kind, "options": ["remount", "bind", "ro"]}
    )
    result = runtime.run(made)
    assert result.stdout == "file\n"
    assert "Read-only file system" in result.stderr


def assert_options(found: frozenset[str], present: str, absent: str) -> None:
    assert not present or present in found
    assert not absent or absent not in found


@pytest.mark.parametrize("option", ATTRIBUTES)
def test_attribute(runtime: Runtime, bundle: MakeBundle, option: str) -> None:
    made = bundle().add_mount("/x", "tmpfs", "tmpfs", [option])
    assert_options(mounted(runtime, made, "/x")[0].options, *ATTRIBUTES[option])


@pytest.mark.parametrize("option", ATTRIBUTES)
def test_bind_attribute(runtime: Runtime, bundle: MakeBundle, tree: Path, option: str) -> None:
    """A bind mount's own attributes change, also those that the source has; nothing below it."""
    restrict(tree)
    made = bundle().bind(tree, "/x", ["rbind", option])
    top, below = mounted(runtime, made, "/x", "/x/sub")
    # It is noatime: neither takes that back.
    left = option in ("norelatime", "nostrictatime")
    assert_options(top.options, *(("noatime", "relatime") if left else ATTRIBUTES[option]))
    assert set(RESTRICTED.split(",")) <= below.options


@pytest.mark.parametrize("option", ATTRIBUTES)
def test_recursive_attribute(runtime: Runtime, bundle: MakeBundle, tree: Path, option: str) -> None:
    if not option.startswith(("no", "ro")):
        restrict(tree)
    made = bundle().bind(tree, "/x", ["rbind", "r" + option])
    for mount in mounted(runtime, made, "/x", "/x/sub"):
        assert_options(mount.options, *ATTRIBUTES[option])


@pytest.mark.parametrize("option", SUPERBLOCK)
def test_superblock_option(runtime: Runtime, bundle: MakeBundle, option: str) -> None:
    made = bundle().add_mount("/x", "tmpfs", "tmpfs", [option])
    assert_options(mounted(runtime, made, "/x")[0].super_options, *SUPERBLOCK[option])


@pytest.mark.parametrize("option", IGNORED)
def test_option_without_effect(runtime: Runtime, bundle: MakeBundle, option: str) -> None:
    made = bundle().add_mount("/x", "tmpfs", "tmpfs", [option])
    assert mounted(runtime, made, "/x")[0].fstype == "tmpfs"


def test_later_option_wins(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle().add_mount("/x", "tmpfs", "tmpfs", ["ro", "nodev", "rw", "dev", "nosuid"])
    options = mounted(runtime, made, "/x")[0].options
    assert {"rw", "nosuid"} <= options
    assert "nodev" not in options


def test_data(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle().add_mount("/x", "tmpfs", "me", ["size=64k", "mode=1750", "nr_inodes=10"])
    mount = mounted(runtime, made, "/x")[0]
    assert {"size=64k", "mode=1750", "nr_inodes=10"} <= mount.super_options
    assert mount.source == "me"


def test_a_tmpfs_has_the_mode_of_what_it_covers(bundle: MakeBundle, runtime: Runtime) -> None:
    """Unless it is given one, or covers nothing."""
    made = bundle(["/bin/sh", "-c", "stat -c %a /there /given /made"])
    made.add_mount("/there", "tmpfs", "tmpfs", ["ro"])
    made.add_mount("/given", "tmpfs", "tmpfs", ["mode=700"])
    made.add_mount("/made", "tmpfs", "tmpfs", [])
    for name in ("there", "given"):
        (made.rootfs / name).mkdir()
        (made.rootfs / name).chmod(0o2751)
    assert runtime.run(made).stdout.split() == ["2751", "700", "1777"]


def test_unknown_data(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle().add_mount("/x", "tmpfs", "tmpfs", ["no-such-option=1"])
    assert_clear(runtime, runtime.create(made), "/x", "no-such-option")


def test_unknown_filesystem(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle().add_mount("/x", "nosuchfs", "none")
    assert_clear(runtime, runtime.create(made), "/x", "nosuchfs")


def test_rbind_and_bind(runtime: Runtime, bundle: MakeBundle, tree: Path) -> None:
    made = bundle().bind(tree, "/deep", ["rbind"]).bind(tree, "/flat", ["bind"])
    output = runtime.run_output(made, "cat /deep/file /deep/sub/file; ls /flat/sub")
    assert output == "top\nsub\n"


def test_bind_type_without_option(runtime: Runtime, bundle: MakeBundle, tree: Path) -> None:
    made = bundle().add_mount("/x", "bind", tree, ["ro"])
    assert (
        runtime.run_output(made, "cat /x/file; touch /x/new 2>/dev/null || echo ro") == "top\nro\n"
    )


def test_bind_file(runtime: Runtime, bundle: MakeBundle, tree: Path) -> None:
    """The mount point is created, as a file, with its parents."""
    made = bundle().bind(tree / "file", "/a/b/c").bind(tree / "file", "/etc/hosts")
    assert runtime.run_output(made, "cat /a/b/c /etc/hosts") == "top\ntop\n"


def test_bind_relative_source(runtime: Runtime, bundle: MakeBundle) -> None:
    """A relative source is below the bundle."""
    made = bundle().bind("data", "/data")
    (made.path / "data").mkdir()
    (made.path / "data/file").write_text("from the bundle\n")
    assert runtime.run_output(made, ["cat", "/data/file"]) == "from the bundle\n"


def test_missing_source(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle().bind("/no/such/source", "/x")
    assert_clear(runtime, runtime.create(made), "/x", "/no/such/source")
    assert not (made.rootfs / "x").exists()


def test_file_on_directory(runtime: Runtime, bundle: MakeBundle, tree: Path) -> None:
    assert_clear(runtime, runtime.create(bundle().bind(tree / "file", "/tmp")), "/tmp")


def test_order(runtime: Runtime, bundle: MakeBundle, tree: Path) -> None:
    """Mounts are made in the order of the list: a later one lies on top."""
    made = bundle().bind(tree, "/x").add_mount("/x/sub", "tmpfs", "tmpfs")
    made.add_mount("/y", "tmpfs", "tmpfs").bind(tree, "/y")
    assert runtime.run_output(made, "ls /x/sub; cat /y/sub/file") == "sub\n"


@pytest.mark.parametrize("writable", [True, False])
def test_tmpcopyup(runtime: Runtime, bundle: MakeBundle, writable: bool) -> None:
    options = ["tmpcopyup", "mode=755", "rw" if writable else "ro"]
    made = bundle().add_mount("/etc", "tmpfs", "tmpfs", options)
    (made.rootfs / "etc/deep").mkdir(mode=0o750)
    (made.rootfs / "etc/deep/file").write_text("copied\n")
    (made.rootfs / "etc/link").symlink_to("deep/file")
    script = "cat /etc/link; stat -c %a /etc/deep; touch /etc/new 2>/dev/null && echo rw"
    output = runtime.run(made.shell(script + "; true")).check().stdout
    assert output == "copied\n750\n" + ("rw\n" if writable else "")
    assert not (made.rootfs / "etc/new").exists()


def test_kernel_filesystems(runtime: Runtime, bundle: MakeBundle) -> None:
    points = ("/proc", "/sys", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue")
    found = mounted(runtime, bundle(), *points)
    kinds = ["proc", "sysfs", "tmpfs", "devpts", "tmpfs", "mqueue"]
    assert [mount.fstype for mount in found] == kinds
    assert {"gid=5", "mode=620", "ptmxmode=666"} <= found[3].super_options
    assert {"ro", "nosuid", "nodev", "noexec"} <= found[1].options


@pytest.mark.parametrize("terminal", [False, True])
def test_readonly_dev(
    runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox, *, terminal: bool
) -> None:
    """Its devices, mount points and console are there nevertheless (podman's infra container)."""
    made = bundle().set("/process/terminal", terminal).set("/root/readonly", True)
    (entry,) = [mount for mount in made.config["mounts"] if mount["destination"] == "/dev"]
    entry["options"] = [*entry.get("options", []), "ro"]
    made.shell("touch /dev/x 2>/dev/null || echo refused; ls -d /dev/pts/ptmx /dev/null /dev/shm")
    expected = ["refused", "/dev/null", "/dev/pts/ptmx", "/dev/shm"]
    if not terminal:
        assert runtime.run(made).check().stdout.split() == expected
        return
    with ConsoleSocket(sandbox.directory / "test-console") as engine:
        container = runtime.create(made, "--console-socket", str(engine.path)).check().container
        engine.receive(PATIENCE)
        runtime.start(container).check()
        assert engine.read(PATIENCE).split() == expected


def test_a_read_only_tmpfs_is_filled_first(
    runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox
) -> None:
    """With mount points of later entries, and by createContainer hooks, as with runc and crun."""
    (sandbox.directory / "file").write_text("bound\n")
    made = bundle().add_mount("/x", "tmpfs", "tmpfs", ["ro", "mode=755"])
    made.bind(sandbox.directory / "file", "/x/sub/file")
    script = f"touch {made.rootfs}/x/hook"
    hook = {"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"]}
    made.config["hooks"] = {"createContainer": [hook]}
    made.shell("touch /x/y 2>/dev/null || echo refused; cat /x/sub/file; ls /x")
    assert runtime.run(made).check().stdout.split() == ["refused", "bound", "hook", "sub"]


def test_new_pty_instance(runtime: Runtime, bundle: MakeBundle) -> None:
    assert runtime.run_output(bundle(), "ls /dev/pts; stat -c %a /dev/ptmx") == "ptmx\n777\n"


@pytest.mark.parametrize(
    ("options", "tag"),
    [
        (["rbind", "rshared"], "shared"),
        (["rbind", "shared"], "shared"),
        (["rbind", "rslave"], "master"),
        (["rbind", "slave"], "master"),
        (["rbind", "rprivate"], ""),
        (["rbind", "private"], ""),
        (["rbind", "runbindable"], "unbindable"),
        (["rbind", "unbindable"], "unbindable"),
    ],
)
def test_propagation(
    runtime: Runtime, bundle: MakeBundle, tree: Path, options: list[str], tag: str
) -> None:
    subprocess.run(["mount", "--make-rshared", tree], check=True)
    made = bundle().bind(tree, "/x", options)
    top, below = mounted(runtime, made, "/x", "/x/sub")
    # A new peer group still gets what the host mounts: it is its slave as well.
    assert top.tags - ({"master"} if tag == "shared" else set()) == ({tag} if tag else set())
    if options[1].startswith("r"):
        assert below.tags == top.tags


@pytest.mark.parametrize(
    ("name", "tags"), [("shared", {"shared"}), ("private", set()), ("unbindable", {"unbindable"})]
)
def test_rootfs_propagation(
    runtime: Runtime, bundle: MakeBundle, name: str, tags: set[str]
) -> None:
    made = bundle().set("/linux/rootfsPropagation", name)
    assert mounted(runtime, made, "/")[0].tags - {"master"} == tags


def test_readonly_root(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle(root={"readonly": True})
    script = "touch /x 2>/dev/null && echo bad; touch /dev/shm/x && echo good"
    assert runtime.run_output(made, script) == "good\n"


def test_no_pivot(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle().shell("pwd; ls /; cat /proc/1/comm; true")
    output = runtime.run(made, "--no-pivot").check().stdout.splitlines()
    assert output[0] == "/"
    assert output[-1] in ("sh", "busybox")
    assert set(output[1:-1]) == {path.name for path in made.rootfs.iterdir()}


def test_mounts_end_with_the_container(
    runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox, tree: Path
) -> None:
    runtime.run(bundle().bind(tree, "/x")).check()
    assert {mount.point for mount in mounts_of() if str(sandbox.directory) in mount.point} == {
        str(tree),
        str(tree / "sub"),
    }
