"""Workers: what they are answered by, and one that there is no process for."""

from __future__ import annotations

import errno
import os
import subprocess

import pytest

from ociruntime.errors import AlreadyExists, NotFound, OciError, WrongStatus
from ociruntime.log import Log
from ociruntime.resident.exits import Exits
from ociruntime.resident.loop import Job, Loop
from ociruntime.shim import ttrpc
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


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotFound("c"), ttrpc.NOT_FOUND),
        (AlreadyExists("c"), ttrpc.ALREADY_EXISTS),
        (WrongStatus("c"), ttrpc.FAILED_PRECONDITION),
        (OciError("c"), ttrpc.UNKNOWN),
    ],
)
def test_codes(error: OciError, code: int) -> None:
    assert module.code_of(error) == code


def test_a_number_that_another_process_has_by_now_is_not_held() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as child:
        pidfd = module._hold(child.pid, os.getpid())
        assert pidfd >= 0
        os.close(pidfd)
        assert module._hold(os.getpid(), os.getpid()) == -1
