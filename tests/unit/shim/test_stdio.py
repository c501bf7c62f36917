"""The shim's side of streams: a terminal, and what a successor of the daemon goes on with."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from ociruntime.resident.loop import Loop, first
from ociruntime.shim.journal import NoJournal
from ociruntime.shim.stdio import Streams, Wanted
from ociruntime.shim.task import Process
from tests.support.patience import PATIENCE

# More than the kernel keeps of what is written on a terminal: whoever is not read waits.
MUCH = 1 << 18


class Client:
    """containerd's side: reads the output fifo to its end in a thread of its own."""

    def __init__(self, fifo: Path) -> None:
        os.mkfifo(fifo)
        self.fifo = fifo
        self.output = b""
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        with self.fifo.open("rb") as output:
            self.output = output.read()


@pytest.fixture
def terminal() -> tuple[int, str]:
    """A terminal's master, for `attach`, and the name of its other end, which nobody has open."""
    master, slave = os.openpty()
    name = os.ttyname(slave)
    os.close(slave)
    return master, name


def test_a_terminal_that_is_closed_and_opened_again(
    tmp_path: Path, terminal: tuple[int, str]
) -> None:
    """An init system does so; what comes afterwards is shown as well, and then there is an end."""
    master, name = terminal
    client = Client(tmp_path / "output")
    loop = Loop()
    streams = Streams(loop, lambda _: None, NoJournal())

    def container() -> None:
        for _ in range(2):
            with Path(name).open("wb", buffering=0) as slave:
                slave.write(b"hello\n")
        with Path(name).open("wb", buffering=0) as slave:
            slave.write(b"x" * MUCH)
        ended.write(b"!")

    wakeup, end = os.pipe()
    with os.fdopen(end, "wb", buffering=0) as ended:

        async def scenario() -> None:
            wanted = Wanted("", str(client.fifo), "", terminal=True)
            await streams.open(wanted, {})
            streams.attach(master)
            writer = threading.Thread(target=container, daemon=True)
            writer.start()
            await loop.ready(wakeup, 1)
            streams.process_ended()
            await streams.drained()
            streams.close()
            loop.stop()

        async def deadline() -> None:
            await loop.sleep(PATIENCE)
            loop.stop()

        loop.spawn(scenario())
        loop.spawn(deadline())
        loop.run()
    os.close(wakeup)
    streams.close()
    client.thread.join(PATIENCE)
    assert client.output.count(b"hello") == 2
    assert client.output.count(b"x") == MUCH


def test_a_process_that_has_ended_before_its_streams_were_there(
    tmp_path: Path, terminal: tuple[int, str]
) -> None:
    """Their end is not waited for."""
    master, _ = terminal
    client = Client(tmp_path / "output")
    loop = Loop()
    streams = Streams(loop, lambda _: None, NoJournal())
    process = Process("container", "", Wanted("", str(client.fifo), "", terminal=True))
    ends: list[bool] = []

    async def scenario() -> None:
        await streams.open(process.wanted, {})
        streams.attach(master)
        process.end(0, 1)
        process.take(streams)
        ends.append(await first(loop, streams.drained(), PATIENCE))
        streams.close()
        loop.stop()

    loop.spawn(scenario())
    loop.run()
    client.thread.join(PATIENCE)
    assert ends == [True]


class Released(NoJournal):
    """What the keeper is told to close."""

    def __init__(self) -> None:
        self.prefixes: list[str] = []

    def release(self, prefix: str) -> None:
        self.prefixes.append(prefix)


def test_the_second_output_when_the_first_has_ended_under_a_predecessor() -> None:
    """Its reader sees the end: the keeper closes what it has under that one's name."""
    loop, journal = Loop(), Released()
    source, container = os.pipe2(os.O_NONBLOCK)
    reader, target = os.pipe2(os.O_NONBLOCK)
    streams = Streams(loop, lambda _: None, journal, 5)
    streams.take_over({"output1.splice.source": source, "output1.splice.target": target})
    os.write(container, b"late")
    os.close(container)

    async def wait() -> None:
        assert await first(loop, streams.drained(), PATIENCE)
        loop.stop()

    loop.spawn(wait())
    loop.run()
    assert os.read(reader, 10) == b"late"
    assert os.read(reader, 10) == b""
    assert journal.prefixes == ["streams/5/output1."]
    os.close(reader)
    streams.close()


def test_what_a_predecessor_had_told_of_twice_is_closed() -> None:
    """It has died in between: the reader sees the end with the output's own."""
    loop, journal = Loop(), Released()
    source, container = os.pipe2(os.O_NONBLOCK)
    reader, target = os.pipe2(os.O_NONBLOCK)
    streams = Streams(loop, lambda _: None, journal, 5)
    parts = {"output0.splice.source": source, "output0.splice.target": target}
    streams.take_over({**parts, "early7": os.dup(target)})
    os.close(container)

    async def wait() -> None:
        assert await first(loop, streams.drained(), PATIENCE)
        loop.stop()

    loop.spawn(wait())
    loop.run()
    assert os.read(reader, 10) == b""
    assert journal.prefixes == ["streams/5/early", "streams/5/output0."]
    os.close(reader)


def test_output_that_nobody_has_read_yet(tmp_path: Path) -> None:
    """What lies in the fifo may still be lost with its reader."""
    fifo = tmp_path / "output"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    loop = Loop()
    seen = []

    async def scenario() -> None:
        streams = Streams(loop, print, NoJournal())
        await streams.open(Wanted("", str(fifo), "", terminal=False), {})
        os.write(streams.inside[1], b"last")
        seen.append(streams.are_read())
        streams.close_inside()
        await first(loop, streams.drained(), PATIENCE)
        seen.append(streams.are_read())
        seen.append(os.read(reader, 64))
        seen.append(streams.are_read())
        streams.close()
        loop.stop()

    loop.spawn(scenario())
    loop.run()
    os.close(reader)
    assert seen == [False, False, b"last", True]
