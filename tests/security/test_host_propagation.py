"""Mount propagation: nothing done for the container changes or reaches the host's mounts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from conformance.mounts import parse_mountinfo
from tests.support.verdict import assert_clear

if TYPE_CHECKING:
    from tests.security.conftest import MakeBundle
    from tests.support.bundle import Bundle
    from tests.support.runtime import Runtime

# The runtime runs in a mount namespace of its own whose root is shared, as on systemd hosts;
# its mount table is written down before and after.
SHARED = """
mount --make-rshared /
cat /proc/self/mountinfo > {0}.before
"$@"
status=$?
cat /proc/self/mountinfo > {0}.after
exit $status
"""


def _wrapper(log: Path) -> list[str]:
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", SHARED.format(log), "sh"]


def _lines(path: str) -> list[str]:
    return sorted(Path(path).read_text().splitlines())


@pytest.mark.parametrize("propagation", ["", "rslave", "rprivate", "rshared", "unbindable"])
def test_shared_host(runtime: Runtime, bundle: MakeBundle, propagation: str) -> None:
    made = bundle(args=["/bin/true"])
    if propagation:
        made.set("/linux/rootfsPropagation", propagation)
    log = runtime.sandbox.logs / "mounts"
    result = runtime.run(made, wrapper=_wrapper(log))
    assert _lines(f"{log}.before") == _lines(f"{log}.after")
    assert result.ok or propagation in ("rshared", "unbindable"), str(result)


def test_no_mount_namespace(runtime: Runtime, bundle: MakeBundle) -> None:
    """Without a mount namespace the host's propagation stays as it is."""
    made = bundle(args=["/bin/true"], linux={"maskedPaths": [], "readonlyPaths": []})
    made.drop_namespace("mount").config["mounts"] = []
    log = runtime.sandbox.logs / "mounts"
    result = runtime.run(made, wrapper=_wrapper(log))
    before, after = (
        {mount.point for mount in parse_mountinfo(Path(f"{log}.{when}").read_text())}
        for when in ("before", "after")
    )
    assert before == after
    assert _lines(f"{log}.before") == _lines(f"{log}.after"), "the host's propagation changed"
    if not result.ok:
        assert_clear(runtime, result, "mount namespace")


def test_failed_create(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle(args=["/bin/true"]).bind("/does/not/exist", "/mnt")
    log = runtime.sandbox.logs / "mounts"
    assert not runtime.create(made, wrapper=_wrapper(log)).ok
    assert _lines(f"{log}.before") == _lines(f"{log}.after")


def _peers(mountinfo: str) -> dict[str, dict[str, str]]:
    """Mount point -> its optional fields by name, with the numbers of peer groups."""
    lines = (line.partition(" - ")[0].split(" ") for line in mountinfo.splitlines())
    return {
        words[4]: dict(field.partition(":")[::2] for field in words[6:] if field)
        for words in lines
        if len(words) > 5
    }


def _every_kind_of_mount(made: Bundle, tmp: Path, *, user: bool) -> None:
    """What the bundle's config has already are new filesystems, cgroups and read-only paths."""
    (tmp / "file").write_text("x")
    for name in ("tree", "asked", "copy"):
        (made.rootfs / name).mkdir()
    for name in ("file", "masked"):
        (made.rootfs / name).write_text("x")
    made.bind(tmp, "/tree", ["rbind"]).bind(tmp / "file", "/file", ["bind"])
    made.bind(tmp, "/asked", ["bind", "shared"])
    made.add_mount("/copy", "tmpfs", "tmpfs", ["tmpcopyup"])
    made.set("/linux/maskedPaths/-", "/masked")
    made.set("/process/terminal", True)
    if user:  # the devices of /dev are bound there
        made.add_namespace("user")
        for kind in ("uidMappings", "gidMappings"):
            made.set(f"/linux/{kind}", [{"containerID": 0, "hostID": 100000, "size": 65536}])
        made.rootfs.chmod(0o755)


@pytest.mark.parametrize("user", [False, True], ids=["root", "user"])
@pytest.mark.parametrize("namespace", [True, False], ids=["cgroupns", "hostcgroup"])
@pytest.mark.parametrize("propagation", ["", "rslave", "rprivate", "rshared"])
def test_no_mount_has_a_peer_on_the_host(
    runtime: Runtime, bundle: MakeBundle, propagation: str, namespace: bool, user: bool
) -> None:
    """What the container mounts below one of its mounts never appears on the host."""
    sandbox = runtime.sandbox
    made = bundle()
    source = sandbox.directory / "source"
    source.mkdir()
    _every_kind_of_mount(made, source, user=user)
    if propagation:
        made.set("/linux/rootfsPropagation", propagation)
    if not namespace:
        made.drop_namespace("cgroup")
    seen = sandbox.logs / "hook"
    seen.touch()
    seen.chmod(0o666)
    script = f"cat /proc/self/mountinfo > {seen}"
    made.set("/hooks", {"createContainer": [{"path": "/bin/sh", "args": ["sh", "-c", script]}]})
    log = sandbox.logs / "mounts"
    made.shell("cat /proc/self/mountinfo")
    inside = runtime.run(made, wrapper=_wrapper(log)).check().stdout.replace("\r", "")
    before = _peers(Path(f"{log}.before").read_text())
    groups = {fields["shared"] for fields in before.values() if "shared" in fields}
    assert groups
    mounts = _peers(inside)
    # Shared with the host is what its option and that of the root together ask for (`rshared`
    # volumes of engines).
    asked = {"/asked"} if propagation == "rshared" else set()
    # For a hook's eyes all that the host has is there, too.
    for where in (mounts, _peers(seen.read_text())):
        peers = {point for point, fields in where.items() if fields.get("shared") in groups}
        assert {f"/{point.rpartition('/')[2]}" for point in peers} == asked
    expected = {"/tree", "/file", "/asked", "/copy", "/masked", "/dev/console", "/sys/fs/cgroup"}
    assert expected <= set(mounts)
    assert ("/dev/null" in mounts) == user
    shared = {point for point, fields in mounts.items() if "shared" in fields}
    if propagation == "rshared":
        assert shared == set(mounts)
    elif propagation == "rprivate":
        assert all(not fields for fields in mounts.values())
    else:
        assert shared == ({"/asked"} if not propagation else set())
