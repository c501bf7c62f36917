"""Hosts whose cgroups are not what a container needs: one clear error, and nothing left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ociruntime.cgroups.detect import detect
from ociruntime.kernel.kernel import Kernel
from tests.support.verdict import assert_clear

if TYPE_CHECKING:
    from tests.support.bundle import Bundle
    from tests.support.runtime import Runtime

MakeBundle = Callable[..., "Bundle"]
LAYOUT = detect(Kernel())
MEMORY = LAYOUT.find("memory")
pytestmark = pytest.mark.skipif(MEMORY is None, reason="needs memory limits")
MEMORY_DIRECTORY = MEMORY and MEMORY.mountpoint.removeprefix("/sys/fs/cgroup")
POINTS = " ".join(item.mountpoint for item in LAYOUT.hierarchies)
LIMITED: dict[str, Any] = {"memory": {"limit": 1 << 26}}


def on_a_host(change: str) -> tuple[str, ...]:
    """A command in front of the runtime's: in a mount namespace of its own ``change`` is made."""
    script = f'{change} && exec "$@"'
    return ("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh")


READ_ONLY = f"for point in {POINTS}; do mount -o remount,bind,ro $point || exit; done"
# On v2 there is one for all, and more may be mounted below it.
ABSENT = f"umount --lazy {MEMORY and MEMORY.mountpoint}"
COVERED = f"mount -t tmpfs cover {MEMORY and MEMORY.mountpoint}"


@pytest.mark.parametrize("resources", [{}, LIMITED], ids=["nothing", "limits"])
def test_read_only_cgroups(runtime: Runtime, bundle: MakeBundle, resources: dict[str, Any]) -> None:
    made = bundle(args=["true"]).set("/linux/resources", resources)
    result = runtime.create(made, wrapper=on_a_host(READ_ONLY))
    path = made.config["linux"]["cgroupsPath"]
    assert_clear(runtime, result, path.rpartition("/")[0], "EROFS", "mount it read-write")


@pytest.mark.parametrize("change", [ABSENT, COVERED], ids=["absent", "covered"])
def test_a_controller_that_is_not_there(runtime: Runtime, bundle: MakeBundle, change: str) -> None:
    made = bundle(args=["true"]).set("/linux/resources", LIMITED)
    result = runtime.create(made, wrapper=on_a_host(change))
    if change == COVERED and LAYOUT.mode != "v2":
        assert_clear(runtime, result, "is not a cgroup file system", "mount the hierarchy there")
    else:
        assert_clear(
            runtime, result, "linux.resources.memory.limit", "no cgroup controller memory", "mount"
        )


def test_without_the_controller_nothing_is_missed(runtime: Runtime, bundle: MakeBundle) -> None:
    if LAYOUT.mode == "v2":
        pytest.skip("on v2 all controllers are one mount")
    made = bundle(args=["true"]).set("/linux/resources", {"pids": {"limit": 5}})
    runtime.run(made, wrapper=on_a_host(ABSENT)).check()
    # What was made without the controller is removed where there is one, and by where it was not.
    container = runtime.create(made, wrapper=on_a_host(ABSENT)).check().container
    runtime.delete(container, "--force").check()


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        (("update", "--memory", "32M"), "memory"),
        (("pause",), "freez"),
    ],
    ids=["update", "pause"],
)
def test_commands_on_read_only_cgroups(
    runtime: Runtime, bundle: MakeBundle, verb: tuple[str, ...], words: str
) -> None:
    made = bundle(args=["sleep", "100"]).set("/linux/resources", LIMITED)
    container = runtime.up(made)
    result = runtime.call(*verb, container, wrapper=on_a_host(READ_ONLY))
    assert_clear(runtime, result, words, "EROFS", "read-write")
    assert runtime.status(container) == "running"
    deleted = runtime.call("delete", "--force", container, wrapper=on_a_host(READ_ONLY))
    assert_clear(runtime, deleted, "remove", "EROFS", "read-write")
    runtime.delete(container).check()


def test_questions_on_read_only_cgroups(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle(args=["sleep", "100"]).set("/linux/resources", LIMITED)
    container = runtime.up(made)
    for command in (("events", "--stats"), ("ps",), ("state",)):
        runtime.call(*command, container, wrapper=on_a_host(READ_ONLY)).check()


def test_read_only_cgroups_in_a_user_namespace(runtime: Runtime, bundle: MakeBundle) -> None:
    """As in a container that engines make without privileges: who asks for no limits gets none."""
    made = bundle().remove("/linux/cgroupsPath").drop_namespace("cgroup")
    options = made.mount("/dev/pts")["options"]
    made.mount("/dev/pts")["options"] = [item for item in options if item != "gid=5"]
    inside = on_a_host(f'{READ_ONLY} && set -- unshare --user --map-root-user -- "$@"')
    shown = "/sys/fs/cgroup" if LAYOUT.mode == "v2" else f"/sys/fs/cgroup{MEMORY_DIRECTORY}"
    made.shell(f"test -r {shown}/cgroup.procs && cat /proc/self/cgroup")
    result = runtime.run(made, wrapper=inside).check()
    assert "stays in the runtime's own cgroup" in result.stderr
    assert result.stdout == Path("/proc/self/cgroup").read_text()
    limited = made.set("/linux/resources", LIMITED)
    path = f"/ociruntime-{runtime.sandbox.prefix}"
    assert_clear(runtime, runtime.create(limited, wrapper=inside), path, "EROFS", "read-write")


def test_something_mounted_on_the_container_s_cgroup(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle(args=["true"])
    assert MEMORY is not None
    own = f"{MEMORY.mountpoint}{made.config['linux']['cgroupsPath']}"
    container = runtime.create(made).check().container
    covered = on_a_host(f"mount -t tmpfs cover {own}")
    result = runtime.call("delete", "--force", container, wrapper=covered)
    assert_clear(runtime, result, own, f"mounted on {own}", "unmount")
    runtime.delete(container).check()
