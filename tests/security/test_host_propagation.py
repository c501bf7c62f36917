"""Mount propagation: nothing done for the container changes or reaches the host's mounts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.mounts import parse_mountinfo
from tests.support.verdict import assert_clear

if TYPE_CHECKING:
    from tests.security.conftest import MakeBundle
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
    """Without a mount namespace the host's propagation stays as it is (runc 1.5.3)."""
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
