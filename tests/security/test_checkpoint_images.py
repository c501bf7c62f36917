"""Images of a checkpoint, which anybody may have written (CVE-2026-115520, -119101, -53492).

The configuration decides what a restored container may do, whatever the images say, and no name in
their directory leads anywhere else. The images here are CRIU's own, of another container.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.bundle import Bundle
from tests.support.canary import Canary
from tests.support.criu import COUNTING, checkpoint, count, restore
from tests.support.runtime import Runtime
from tests.support.sandbox import Sandbox
from tests.support.verdict import assert_clear


def test_links_in_the_directory(
    criu_host: Runtime, counter: Bundle, images: Path, canary: Canary
) -> None:
    """Neither written nor read through."""
    container = criu_host.up(counter)
    images.mkdir()
    for name in ("dump.log", "core-1.img", "descriptors.json"):
        (images / name).symlink_to(canary.path / name)
        done = checkpoint(criu_host, container, images)
        assert_clear(criu_host, done, name, "symlink")
        (images / name).unlink()
    assert criu_host.status(container) == "running"
    checkpoint(criu_host, container, images).check()
    (images / "restore.log").symlink_to(canary.path / "log")
    assert_clear(criu_host, restore(criu_host, counter, images), "restore.log", "symlink")


def test_links_in_the_work_directory(
    criu_host: Runtime, counter: Bundle, images: Path, canary: Canary, sandbox: Sandbox
) -> None:
    """A log is written anew, in the directory itself."""
    container = criu_host.up(counter)
    work = sandbox.directory / "work"
    work.mkdir()
    for name in ("dump.log", "restore.log"):
        (work / name).symlink_to(canary.path / name)
    checkpoint(criu_host, container, images, "--work-path", str(work)).check()
    restore(criu_host, counter, images, "--work-path", str(work)).check()
    for name in ("dump.log", "restore.log"):
        assert not (work / name).is_symlink()
        assert (work / name).stat().st_size


def test_a_link_to_the_directory(
    criu_host: Runtime, counter: Bundle, images: Path, canary: Canary
) -> None:
    images.symlink_to(canary.path)
    container = criu_host.up(counter)
    assert_clear(criu_host, checkpoint(criu_host, container, images), "image-path", "symlink")
    assert_clear(criu_host, restore(criu_host, counter, images), "image-path", "symlink")


def readonly_data(made: Bundle) -> None:
    made.config["mounts"][-1]["options"].append("ro")


def readonly_root(made: Bundle) -> None:
    made.set("/root/readonly", True)


def masked(made: Bundle) -> None:
    made.config["linux"].setdefault("maskedPaths", []).append("/proc/uptime")


def readonly_path(made: Bundle) -> None:
    made.config["linux"].setdefault("readonlyPaths", []).append("/proc/tty")


def fewer_capabilities(made: Bundle) -> None:
    sets = made.config["process"]["capabilities"]
    for name, names in sets.items():
        kept = [word for word in names if word != "CAP_MKNOD"]
        sets[name] = kept


def no_new_privileges(made: Bundle) -> None:
    made.set("/process/noNewPrivileges", True)


def seccomp(made: Bundle) -> None:
    made.set("/linux/seccomp", {"defaultAction": "SCMP_ACT_ALLOW"})


def own_ipc(made: Bundle) -> None:
    made.config["linux"]["namespaces"].append({"type": "ipc"})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (readonly_data, ["/data is not ro"]),
        (readonly_root, ["/ is not ro"]),
        (masked, ["maskedPaths /proc/uptime"]),
        (readonly_path, ["/proc/tty is not ro"]),
        (fewer_capabilities, ["CAP_MKNOD"]),
        (no_new_privileges, ["no_new_privs"]),
        (seccomp, ["seccomp"]),
        (own_ipc, ["ipc namespace"]),
    ],
)
def test_the_configuration_decides(
    criu_host: Runtime,
    counter: Bundle,
    images: Path,
    sandbox: Sandbox,
    change: Any,
    words: list[str],
) -> None:
    """Processes that could do more than it allows do not run, and nothing is left of them."""
    data = sandbox.directory / "data"
    data.mkdir()
    counter.add_mount("/data", "bind", data, ["rbind"])
    spaces = counter.config["linux"]["namespaces"]
    if change is own_ipc:
        counter.config["linux"]["namespaces"] = [s for s in spaces if s["type"] != "ipc"]
    container = criu_host.up(counter)
    count(criu_host, container)
    checkpoint(criu_host, container, images).check()
    change(counter)
    assert_clear(criu_host, restore(criu_host, counter, images), *words)


def test_a_readonly_volume_stays_so(
    criu_host: Runtime, counter: Bundle, images: Path, sandbox: Sandbox
) -> None:
    """What CRIU is given is read-only already: no process that it makes could write meanwhile."""
    data = sandbox.directory / "data"
    data.mkdir()
    script = "while :; do (echo x >/data/x) 2>/dev/null; done"
    counter.add_mount("/data", "bind", data, ["rbind", "ro"]).shell(script)
    container = criu_host.up(counter)
    checkpoint(criu_host, container, images).check()
    restore(criu_host, counter, images).check()
    assert not list(data.iterdir())


def test_a_mount_that_the_configuration_does_not_have(
    criu_host: Runtime, counter: Bundle, images: Path, sandbox: Sandbox
) -> None:
    """A volume that is read-only is not to be written by another mount of it."""
    data = sandbox.directory / "data"
    data.mkdir()
    (counter.rootfs / "other").mkdir()
    again = "mount -o bind /data /other && mount -o remount,bind,rw /other"
    counter.add_mount("/data", "bind", data, ["rbind", "ro"]).shell(f"{again}; {COUNTING}")
    counter.add_capabilities("CAP_SYS_ADMIN")
    container = criu_host.up(counter)
    count(criu_host, container)
    checkpoint(criu_host, container, images).check()
    for names in counter.config["process"]["capabilities"].values():
        names[:] = [name for name in names if name != "CAP_SYS_ADMIN"]
    assert_clear(criu_host, restore(criu_host, counter, images), "/other", "read-only at /data")
