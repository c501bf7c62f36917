"""What the service refuses before anything is done."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ociruntime.shim import ttrpc
from ociruntime.shim.service import Tasks
from ociruntime.shim.task import CREATED, RUNNING
from ociruntime.shim.ttrpc import RpcError


@pytest.mark.parametrize(("status", "starting"), [(RUNNING, False), (CREATED, True)])
def test_nothing_is_started_twice(status: int, *, starting: bool) -> None:
    process = SimpleNamespace(id="c1", exec_id="e1", status=status, starting=starting)
    tasks: Any = SimpleNamespace(task=lambda _: SimpleNamespace(process=lambda _: process))
    with pytest.raises(RpcError, match="cannot start e1: it was started before") as caught:
        Tasks.start(tasks, {"id": "c1", "exec_id": "e1"}).send(None)
    assert caught.value.code == ttrpc.FAILED_PRECONDITION
