"""A process that ends while its pidfd is opened."""

from __future__ import annotations

import errno

import pytest

from ociruntime.kernel.kernel import Kernel


class Answering(Kernel):
    """A kernel that refuses everything with the same errno."""

    def __init__(self, number: int) -> None:
        self.number = number

    def invoke(self, name: str, *args: object) -> int:
        raise OSError(self.number, name)


@pytest.mark.parametrize("number", [errno.ESRCH, errno.EINVAL])
def test_gone_is_gone_however_the_kernel_says_it(number: int) -> None:
    with pytest.raises(ProcessLookupError):
        Answering(number).pidfd_open(1)


def test_other_refusals_are_told() -> None:
    with pytest.raises(OSError, match="pidfd_open") as caught:
        Answering(errno.EMFILE).pidfd_open(1)
    assert caught.value.errno == errno.EMFILE
