"""What steps say of a refusal, and what they refuse by themselves, where no kernel is asked."""

from __future__ import annotations

import errno
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ociruntime.kernel.block import START
from ociruntime.process.run import Run
from ociruntime.spec.mount_options import parse
from ociruntime.steps.enter import Proceed
from ociruntime.steps.finish import SetRlimits
from ociruntime.steps.mounts import ROOT_REFUSED, find_target
from tests.support.model.emulator import emulated
from tests.support.model.recorder import Recorder


@pytest.mark.parametrize("destination", ["/", "//", "/./", "."])
def test_nothing_is_mounted_on_the_root_itself(destination: str) -> None:
    with pytest.raises(OSError, match=ROOT_REFUSED) as caught:
        find_target(cast("Any", None), destination, parse([]), directory=True)
    assert caught.value.errno == errno.EINVAL


def test_limits() -> None:
    step = SetRlimits([])
    assert step.explain(errno.EINVAL) == "the soft limit is above the hard limit"
    assert "CAP_SYS_RESOURCE" in step.explain(errno.EPERM)
    assert step.explain(errno.ENOMEM) == ""


class Channel:
    """It sends nothing: ``number`` is why."""

    def __init__(self, number: int) -> None:
        self.number = number

    def send(self, content: bytes) -> None:
        assert content == START
        raise OSError(self.number, "no")


def test_only_a_process_that_has_ended_may_be_deaf() -> None:
    run: Run = emulated(Recorder())
    ended, broken = (
        Proceed(cast("Any", SimpleNamespace(label="exec", channel=Channel(number))))
        for number in (errno.EPIPE, errno.EMSGSIZE)
    )
    ended.execute(run)
    with pytest.raises(OSError, match="no"):
        broken.execute(run)
