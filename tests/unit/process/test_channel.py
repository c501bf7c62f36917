"""What host side and init say to each other, over a real socket pair."""

from __future__ import annotations

import errno

import pytest

from ociruntime.kernel.inroot import Stub
from ociruntime.process.channel import Channel, Closed, Failure, channel_pair

Pair = tuple[Channel, Channel]


@pytest.fixture
def pair() -> Pair:
    return channel_pair()


def test_go(pair: Pair) -> None:
    host, init = pair
    host.go(3, 70_000)
    assert init.wait_go() == (3, 70_000)


def test_done_with_notes(pair: Pair) -> None:
    host, init = pair
    stub = Stub("a b/c", 2**63, (8, 1), directory=True)
    init.note(["wärning", "two"], [stub])
    init.done()
    warnings: list[str] = ["earlier"]
    stubs: list[Stub] = []
    assert host.wait_done(warnings, stubs) is None
    assert warnings == ["earlier", "wärning", "two"]
    assert [(s.path, s.ino, s.device, s.directory) for s in stubs] == [
        ("a b/c", 2**63, (8, 1), True)
    ]


def test_nobody_waits_longer_than_the_limit(pair: Pair) -> None:
    """A process that was stopped neither answers nor hangs up."""
    host, init = pair
    host.limit(0.01)
    with pytest.raises(Closed):
        host.wait_pid()
    init.send_pid(7)
    assert host.wait_pid() == 7


def test_nothing_to_note(pair: Pair) -> None:
    """No packet at all: an empty one would be the end of file."""
    host, init = pair
    init.note([], [])
    init.done()
    assert host.wait_done([], []) is None


def test_many_notes(pair: Pair) -> None:
    """More than a packet holds."""
    host, init = pair
    stubs = [Stub("x" * 3000 + str(i), i, (0, i), directory=False) for i in range(50)]
    init.note([], stubs)
    init.done()
    found: list[Stub] = []
    assert host.wait_done([], found) is None
    assert [stub.ino for stub in found] == list(range(50))
    assert found[49].path == stubs[49].path


def test_failure(pair: Pair) -> None:
    host, init = pair
    init.note([], [Stub("made", 1, (0, 1), directory=False)])
    init.failed(errno.ENOSPC, "mounts[3] /x", "no\0room" + "!" * 10_000)
    stubs: list[Stub] = []
    failure = host.wait_done([], stubs)
    assert isinstance(failure, Failure)
    assert (failure.number, failure.label) == (errno.ENOSPC, "mounts[3] /x")
    assert failure.detail.startswith("no\\0room!")
    assert len(stubs) == 1


def test_pid(pair: Pair) -> None:
    host, between = pair
    between.ready()
    host.wait_ready()
    between.send_pid(4711)
    assert host.wait_pid() == 4711


def test_failed_pid(pair: Pair) -> None:
    host, between = pair
    between.failed(errno.EPERM, "joining", "")
    failure = host.wait_pid()
    assert isinstance(failure, Failure)
    assert failure.number == errno.EPERM


def test_end_of_file(pair: Pair) -> None:
    host, init = pair
    init.close()
    with pytest.raises(Closed):
        host.wait_done([], [])
    with pytest.raises(Closed):
        host.go(0, 1)


def test_wrong_message(pair: Pair) -> None:
    host, init = pair
    init.ready()
    with pytest.raises(Closed, match="broke the protocol"):
        host.wait_done([], [])
    host.ready()
    with pytest.raises(Closed, match="unexpected"):
        init.wait_go()
