"""Making a process: what is left when the kernel refuses."""

from __future__ import annotations

import errno

import pytest

from ociruntime.kernel.kernel import Kernel
from ociruntime.process.run import Run
from ociruntime.process.spawn import Namespaces, spawn
from ociruntime.steps.prepare import OpenInit
from tests.support.descriptors import open_descriptors


class Refusing(Kernel):
    """No process is to be had."""

    def start_program(self, *_: object) -> tuple[int, int]:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")


def test_no_descriptor_lives_as_long_as_the_error() -> None:
    """Its traceback refers to everything, so nothing is closed by being forgotten."""
    run = Run(Refusing(), [])
    OpenInit("oci-setup").execute(run)
    before = open_descriptors()
    with pytest.raises(BlockingIOError) as caught:
        spawn(run, Namespaces(), -1, lambda _: None)
    assert run.channel is not None
    run.channel.close()
    assert open_descriptors() == before
    assert caught.value.errno == errno.EAGAIN
