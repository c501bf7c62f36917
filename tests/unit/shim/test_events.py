"""How events reach a containerd that is away, that dies, and that refuses one."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from ociruntime.resident.loop import Loop
from ociruntime.shim import events as module
from ociruntime.shim.events import TRIES, Publisher, Sender
from ociruntime.shim.messages import FORWARD, TASK_ID
from ociruntime.shim.ttrpc import INTERNAL, Connection, RpcError, Server

if TYPE_CHECKING:
    from ociruntime.log import Log

TOPICS = ["/tasks/paused", "/tasks/oom", "/tasks/resumed"]


class Messages:
    """A log that keeps what it is told."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warning(self, text: str) -> None:
        self.warnings.append(text)


class Containerd:
    """What takes events, on the loop of the test; ``told`` are their topics, tries included."""

    def __init__(self, loop: Loop, path: Path, refused: str = "") -> None:
        """``refused``: the topic that is answered with an error."""
        self.told: list[str] = []
        self.connections: list[Connection] = []
        self.deaths = 0
        self._loop = loop
        self._refused = refused
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(8)
        self._server = Server(loop, self._listener, self._accept)

    def _accept(self, end: object) -> None:
        self.connections.append(Connection(self._loop, cast("socket.socket", end), self._take))

    async def _take(self, _service: str, _method: str, payload: bytes) -> bytes:
        topic = FORWARD.decode(payload)["envelope"]["topic"]
        self.told.append(topic)
        if self.deaths:
            self.deaths -= 1
            self.connections[-1].close()
        if topic == self._refused:
            raise RpcError(INTERNAL, "not this one")
        return b""

    def close(self) -> None:
        self._server.close()
        for connection in self.connections:
            connection.close()


class Shim:
    """A publisher of all TOPICS that runs until they are told, or given up."""

    def __init__(self, path: Path) -> None:
        self.loop = Loop()
        self.log = Messages()
        log = cast("Log", self.log)
        self.publisher = Publisher(self.loop, log, "default", f"unix://{path}", [])

    def publish(self) -> None:
        for topic in TOPICS:
            values = {"container_id": "c1"}
            self.publisher.publish(topic, "TaskPaused", TASK_ID, values)

    def run(self) -> None:
        self.loop.spawn(self._end())
        self.loop.run()

    async def _end(self) -> None:
        await self.loop.sleep(0)
        await self.publisher.flush(60.0)
        self.loop.stop()


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RETRY_SECONDS", "ABSENCE_SECONDS"):
        monkeypatch.setattr(module, name, 0.0)


def test_events_wait_for_a_containerd_that_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long it takes to come back; and they come in their order."""
    shim, path = Shim(tmp_path / "ttrpc"), tmp_path / "ttrpc"
    found: list[Containerd] = []
    attempts: list[str] = []

    def connect(loop: Loop, address: str) -> Sender | None:
        attempts.append(address)
        if len(attempts) == 10 * TRIES:
            found.append(Containerd(loop, path))
        return original(loop, address)

    original = Sender.connect
    monkeypatch.setattr(Sender, "connect", connect)
    shim.publish()
    shim.run()
    assert found[0].told == TOPICS
    assert shim.log.warnings == []
    assert len(attempts) == 10 * TRIES
    found[0].close()


def test_an_event_is_told_again_to_a_containerd_that_died_of_the_first(tmp_path: Path) -> None:
    shim = Shim(tmp_path / "ttrpc")
    containerd = Containerd(shim.loop, tmp_path / "ttrpc")
    containerd.deaths = 2
    shim.publish()
    shim.run()
    assert containerd.told == [TOPICS[0], TOPICS[0], *TOPICS]
    assert shim.log.warnings == []
    containerd.close()


def test_a_refused_event_is_given_up_and_the_others_come(tmp_path: Path) -> None:
    shim = Shim(tmp_path / "ttrpc")
    containerd = Containerd(shim.loop, tmp_path / "ttrpc", refused=TOPICS[1])
    shim.publish()
    shim.run()
    assert containerd.told == [TOPICS[0], *[TOPICS[1]] * TRIES, TOPICS[2]]
    assert shim.log.warnings == [f"containerd did not take the event {TOPICS[1]}"]
    containerd.close()


def test_without_containerds_address_nobody_is_waited_for(tmp_path: Path) -> None:
    shim = Shim(tmp_path / "ttrpc")
    shim.publisher = Publisher(shim.loop, cast("Log", shim.log), "default", "", [])
    shim.publish()
    shim.run()
    assert shim.log.warnings == []
