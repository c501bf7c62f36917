"""CVE-2021-30465, CVE-2024-45310: a mount's target is resolved once, to a descriptor in the root.

The shared volume changes meanwhile. The runtime may fail in such a round; what it must not do is
mount or create anything outside the root.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.race import rounds, swapping
from tests.support.verdict import assert_sources_inside, attempt

if TYPE_CHECKING:
    from tests.security.conftest import MakeBundle
    from tests.support.canary import Canary
    from tests.support.runtime import Runtime
    from tests.support.sandbox import Sandbox

pytestmark = pytest.mark.race


@pytest.mark.parametrize("target", ["canary", "host root"])
def test_nested_mounts(
    runtime: Runtime,
    bundle: MakeBundle,
    canary: Canary,
    sandbox: Sandbox,
    probe: Path,
    race_seconds: float,
    target: str,
) -> None:
    volume, source = sandbox.directory / "volume", sandbox.directory / "source"
    (volume / "swap").mkdir(parents=True)
    source.mkdir()
    (source / "file").write_text("x")
    (volume / "link").symlink_to(canary.path if target == "canary" else "/")
    made = bundle().bind(volume, "/vol")
    below = "/vol/swap" if target == "canary" else "/vol/swap" + str(canary.path)
    for number in range(3):
        made.bind(source, f"{below}/made{number}/deep")
    made.bind(source / "file", f"{below}/madefile").add_mount(f"{below}/madetmp", "tmpfs", "tmpfs")
    ran = 0
    with swapping(probe, volume / "swap", volume / "link", race_seconds):
        for _ in rounds(race_seconds):
            output = attempt(runtime, made, "cat /proc/self/mountinfo")
            canary.check()
            if output is not None:
                ran += 1
                assert_sources_inside(output, made.path, volume, source)
    assert ran, "no round got through: the race was never run to its end"
