"""The shim's watch of a file that a cgroup tells events by, on the real kernel."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from ociruntime.resident.loop import Loop
from ociruntime.shim.oom import Watch
from tests.support.sandbox import Sandbox

UNIFIED = next(
    (path for path in map(Path, ("/sys/fs/cgroup", "/sys/fs/cgroup/unified"))
     if (path / "cgroup.controllers").exists()), None,
)  # fmt: skip
TURNS = 20


class Counting(Watch):
    """Counts how often the loop had something for it."""

    calls = 0

    def _ready(self, ready: int) -> None:
        self.calls += 1
        super()._ready(ready)


@pytest.mark.skipif(UNIFIED is None, reason="needs the unified hierarchy of cgroups")
def test_a_cgroup_that_is_removed_with_news_unread(sandbox: Sandbox) -> None:
    """Its file is ready for ever then; cgroup.events of every kernel stands for memory.events."""
    assert UNIFIED is not None
    cgroup = UNIFIED / sandbox.new_id()
    cgroup.mkdir()
    loop = Loop()
    try:
        events = os.open(cgroup / "cgroup.events", os.O_RDONLY | os.O_CLOEXEC)
        watch = Counting(loop, events, lambda: None, -1)
        # It ends when its input does, not before it is in there: only the living make news.
        with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE) as process:
            (cgroup / "cgroup.procs").write_text(str(process.pid))
    finally:
        cgroup.rmdir()

    async def stop() -> None:
        await loop.sleep(0.2)
        loop.stop()

    loop.spawn(stop())
    loop.run()
    assert 0 < watch.calls < TURNS
    watch.close()
