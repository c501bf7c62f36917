"""The harness itself: a container starts, answers, and leaves nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.bundle import Bundle
    from tests.support.runtime import Runtime


def test_run_output(runtime: Runtime, bundle: Callable[..., Bundle]) -> None:
    assert runtime.run_output(bundle(hostname="smoke"), ["hostname"]) == "smoke\n"


def test_lifecycle(runtime: Runtime, bundle: Callable[..., Bundle]) -> None:
    container = runtime.create(bundle(args=["sleep", "100"])).check().container
    assert runtime.status(container) == "created"
    runtime.start(container).check()
    assert runtime.status(container) == "running"
    runtime.kill(container, "KILL").check()
    runtime.wait_for(container, "stopped")
    runtime.delete(container).check()
    assert not runtime.state(container).ok
