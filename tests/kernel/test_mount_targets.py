"""Mount points and devices where the image has a symlink to something missing: it is made inside,
as runc 1.3 does it, and nothing anywhere else.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.bundle import Bundle
from tests.support.canary import Canary
from tests.support.runtime import Runtime
from tests.support.sandbox import Sandbox
from tests.support.verdict import assert_clear

MakeBundle = Callable[..., Bundle]
UP = "../" * 12
MAPPING = [{"containerID": 0, "hostID": 100_000, "size": 65536}]
# name -> (symlinks of the image, the destination, what it is in the end, as `%s` in the canary)
SHAPES: dict[str, tuple[dict[str, str], str, str]] = {
    "absolute": ({"vol": "/mnt/new"}, "/vol", "/mnt/new"),
    "relative": ({"mnt/vol": "new"}, "/mnt/vol", "/mnt/new"),
    "several missing": ({"vol": "/mnt/a/b/c"}, "/vol", "/mnt/a/b/c"),
    "as a directory": ({"vol": "/mnt/a"}, "/vol/x/y", "/mnt/a/x/y"),
    "chain": ({"vol": "w", "w": "/mnt/../mnt/z"}, "/vol/q", "/mnt/z/q"),
    "dots in it": ({"vol": "/mnt/no/../x"}, "/vol", "/mnt/x"),
    "dots behind it": ({"vol": "/mnt/a"}, "/vol/../x", "/x"),
    "slash at its end": ({"vol": "/mnt/t/"}, "/vol", "/mnt/t"),
    "absolute, to the host": ({"vol": "%s/new"}, "/vol", "%s/new"),
    "relative, to the host": ({"mnt/vol": UP + "%s/new"}, "/mnt/vol", "%s/new"),
    "parent, to the host": ({"vol": UP + "%s"}, "/vol/new/deeper", "%s/new/deeper"),
    "no symlink, but dots": ({}, "/mnt/no/../x", "/mnt/x"),
}
MOUNTS = ("file", "directory", "tmpfs")
DEVICES = ("cgroup", "device", "device-userns", "fifo")
CASES = [(shape, kind) for shape in SHAPES for kind in MOUNTS]
CASES += [(shape, kind) for shape in ("chain", "parent, to the host") for kind in DEVICES]


def _place(made: Bundle, canary: Canary, shape: str) -> tuple[str, str]:
    links, destination, real = SHAPES[shape]
    for name, target in links.items():
        (made.rootfs / name).symlink_to(target.replace("%s", str(canary.path)))
    return destination, real.replace("%s", str(canary.path))


def _add(made: Bundle, sandbox: Sandbox, kind: str, destination: str) -> None:
    source = sandbox.directory / "source"
    source.mkdir()
    (source / "file").write_text("shown\n")
    if kind == "file":
        made.bind(source / "file", destination)
    elif kind == "directory":
        made.bind(source, destination)
    elif kind in ("tmpfs", "cgroup"):
        made.add_mount(destination, kind, kind, ["nosuid"])
    else:
        device = {"path": destination, "type": "c", "major": 1, "minor": 3}
        if kind == "fifo":
            device = {"path": destination, "type": "p"}
        made.set("/linux/devices", [device])
        if kind == "device-userns":
            for path in (made.rootfs, *made.rootfs.rglob("*")):
                os.lchown(path, 100_000, 100_000)
            made.add_namespace("user").set("/linux/uidMappings", MAPPING)
            made.set("/linux/gidMappings", MAPPING)


LOOKS = {
    "file": "cat {}",
    "directory": "cat {}/file",
    "tmpfs": "stat -f -c %T {}",
    "cgroup": "test -d {} && echo a directory",
    "device": "stat -c '%F %t:%T' {}; echo >{}",
    "device-userns": "stat -c '%F %t:%T' {}; echo >{}",
    "fifo": "stat -c '%F' {}",
}
SEEN = {
    "file": "shown",
    "directory": "shown",
    "tmpfs": "tmpfs",
    "cgroup": "a directory",
    "device": "character special file 1:3",
    "device-userns": "character special file 1:3",
    "fifo": "fifo",
}


@pytest.mark.parametrize(("shape", "kind"), CASES)
def test_it_is_made_inside(
    runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox, canary: Canary, shape: str, kind: str
) -> None:
    made = bundle()
    destination, real = _place(made, canary, shape)
    _add(made, sandbox, kind, destination)
    assert runtime.run_output(made, LOOKS[kind].replace("{}", real)).strip() == SEEN[kind]
    assert os.path.lexists(f"{made.rootfs}{real}")
    canary.check()


@pytest.mark.parametrize("shape", SHAPES)
def test_a_failing_create_takes_it_away(
    runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox, canary: Canary, shape: str
) -> None:
    made = bundle(args=["/no/such/program"])
    destination, _ = _place(made, canary, shape)
    _add(made, sandbox, "file", destination)
    before = sorted(made.rootfs.rglob("*"))
    assert_clear(runtime, runtime.create(made), "/no/such/program")
    assert sorted(made.rootfs.rglob("*")) == before
    canary.check()


@pytest.mark.parametrize(
    ("links", "destination", "word"),
    [
        ({"vol": "w", "w": "vol"}, "/vol", "too many symlinks"),
        ({"vol": "/etc/passwd/x"}, "/vol", "not a directory"),
        ({"vol": "/etc/passwd"}, "/vol/x", "not a directory"),
        ({f"l{n}": f"/l{n + 1}/gone" for n in range(60)}, "/l0", "too many symlinks"),
    ],
)
@pytest.mark.parametrize("kind", ["file", "tmpfs"])
def test_what_leads_nowhere_is_refused(
    runtime: Runtime,
    bundle: MakeBundle,
    sandbox: Sandbox,
    links: dict[str, str],
    destination: str,
    word: str,
    kind: str,
) -> None:
    made = bundle(args=["/bin/true"])
    for name, target in links.items():
        (made.rootfs / name).symlink_to(target)
    _add(made, sandbox, kind, destination)
    before = sorted(made.rootfs.rglob("*"))
    assert_clear(runtime, runtime.create(made), destination, word)
    assert sorted(made.rootfs.rglob("*")) == before


@pytest.mark.parametrize("filesystem", ["proc", "sysfs"])
def test_procfs_and_sysfs_are_not_mounted_through_it(
    runtime: Runtime, bundle: MakeBundle, canary: Canary, filesystem: str
) -> None:
    """CVE-2019-19921 and its kind hold for symlinks to something missing, too."""
    made = bundle(args=["/bin/true"])
    destination = "/proc" if filesystem == "proc" else "/sys"
    made.drop_mounts(destination).add_mount(f"{destination}/sub", filesystem, filesystem)
    (made.rootfs / destination[1:]).rmdir()
    (made.rootfs / destination[1:]).symlink_to(canary.path / "new")
    assert not runtime.create(made).ok
    canary.check()
    assert not os.path.lexists(f"{made.rootfs}{canary.path}")


def test_a_name_that_is_no_utf8(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle()
    os.symlink(b"/mnt/\xff\xfe", os.fsencode(made.rootfs / "vol"))
    made.add_mount("/vol", "tmpfs", "tmpfs")
    assert runtime.run_output(made, "stat -f -c %T /vol").strip() == "tmpfs"
    assert os.path.isdir(os.fsencode(made.rootfs) + b"/mnt/\xff\xfe")


def test_a_failing_create_takes_a_name_that_is_no_utf8_away(
    runtime: Runtime, bundle: MakeBundle
) -> None:
    made = bundle(args=["/no/such/program"])
    os.symlink(b"/mnt/\xff\xfe", os.fsencode(made.rootfs / "vol"))
    made.add_mount("/vol", "tmpfs", "tmpfs")
    assert_clear(runtime, runtime.create(made), "/no/such/program")
    assert os.listdir(made.rootfs / "mnt") == []


def test_a_failing_create_takes_it_away_from_a_volume(
    runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox
) -> None:
    """What is bound keeps no mount point either, however it came to be in there."""
    if not runtime.is_ours:
        pytest.skip("others leave it there")
    volume = sandbox.directory / "volume"
    (volume / "dir").mkdir(parents=True)
    made = bundle(args=["/bin/true"]).bind(volume, "/mnt")
    made.bind(volume / "dir", "/mnt/dir/again")
    made.add_mount("/mnt/new/deeper", "tmpfs", "tmpfs")
    made.add_mount("/mnt/dir/again/twice", "tmpfs", "tmpfs")
    made.bind(made.path / "config.json", "/mnt/file")
    made.bind(made.rootfs / "home", "/var/bound").add_mount("/var/bound/x", "tmpfs", "tmpfs")
    made.config["hooks"] = {"createContainer": [{"path": "/bin/false"}]}
    before = [*made.rootfs.rglob("*"), *volume.rglob("*")]
    assert_clear(runtime, runtime.create(made), "createContainer")
    assert sorted([*made.rootfs.rglob("*"), *volume.rglob("*")]) == sorted(before)


def test_device_through_a_symlink_to_the_device(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle().drop_mounts("/dev")
    node = Path(made.rootfs / "mnt/null")
    os.mknod(node, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    (made.rootfs / "dev/null").symlink_to("/mnt/null")
    runtime.run_output(made, "echo x >/dev/null")
    assert (made.rootfs / "dev/null").is_symlink()


def test_localtime_and_resolv_conf(runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox) -> None:
    """What engines mount into every container, over the links that systemd's images have."""
    made = bundle()
    for name, link in (("localtime", "../usr/share/zoneinfo/UTC"),
                       ("resolv.conf", "../run/systemd/resolve/stub-resolv.conf")):  # fmt: skip
        (made.rootfs / "etc" / name).symlink_to(link)
        source = sandbox.directory / name
        source.write_text(f"the host's {name}\n")
        made.bind(source, f"/etc/{name}", ["bind", "ro"])
    assert runtime.run_output(made, "cat /etc/localtime /etc/resolv.conf").splitlines() == [
        "the host's localtime",
        "the host's resolv.conf",
    ]
