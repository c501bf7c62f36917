"""A worker that there is no process for."""

from __future__ import annotations

import errno
import os

import pytest

from ociruntime.log import Log
from ociruntime.resident.exits import Exits
from ociruntime.resident.loop import Job, Loop
from ociruntime.shim import worker as module
from ociruntime.shim.ttrpc import RpcError
from ociruntime.shim.worker import Workers


def test_one_that_cannot_be_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that those handle who clean up without being asked: else the daemon ended."""

    def fork() -> int:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(module.os, "fork", fork)
    failed: list[str] = []

    async def clean_up() -> None:
        try:
            await Job(Workers(Exits(), Log()).run(lambda _: (0, []))).result
        except RpcError as error:
            failed.append(str(error))

    Loop().spawn(clean_up())
    assert failed == ["cannot start a worker of the runtime: Resource temporarily unavailable"]
