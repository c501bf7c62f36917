"""Who shares a daemon, and when one ends that others have announced containers to."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ociruntime.errors import OciError
from ociruntime.resident.exits import Exits
from ociruntime.resident.loop import Loop
from ociruntime.shim import shared
from ociruntime.shim.journal import NoJournal
from ociruntime.shim.messages import CREATE
from ociruntime.shim.options import ShimOptions
from ociruntime.shim.service import Tasks
from ociruntime.shim.ttrpc import UNKNOWN, RpcError
from tests.support.patience import PATIENCE

NODE = ShimOptions({"daemon": "namespace"})
POD = ShimOptions({})


@pytest.mark.parametrize(
    ("options", "annotation", "expected"),
    [
        (POD, "", False),
        (NODE, "", True),
        (NODE, "pod", False),
        (POD, "namespace", True),
    ],
)
def test_who_shares(options: ShimOptions, annotation: str, *, expected: bool) -> None:
    annotations = {shared.ANNOTATION: annotation} if annotation else {}
    assert shared.is_shared(options, annotations) is expected


def test_core_scheduling_keeps_pods_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared.os, "getenv", {"SCHED_CORE": "1"}.get)
    assert shared.is_shared(NODE, {}) is False


def test_a_word_that_it_does_not_know() -> None:
    with pytest.raises(RpcError, match='use "pod" or "namespace"'):
        ShimOptions({"daemon": "node"})
    with pytest.raises(RpcError, match=f"annotation {shared.ANNOTATION}"):
        shared.is_shared(NODE, {shared.ANNOTATION: "Pod"})


def test_the_key_tells_apart_what_must_not_be_shared() -> None:
    cgroup = ShimOptions({"daemon": "namespace", "shim_cgroup": "/shims"})
    keys = {shared.shared_key("/a", NODE), shared.shared_key("/b", NODE)}
    assert len(keys | {shared.shared_key("/a", cgroup)}) == 3
    other = ShimOptions({"daemon": "namespace", "systemd_cgroup": True, "root": "/r"})
    assert shared.shared_key("/a", other) in keys  # Create has these for each container


def test_reservations_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of a container which came does not end the one that was made for its name later."""
    monkeypatch.setattr(shared, "RESERVED_SECONDS", 0.0)
    loop = Loop()
    reservations = shared.Reservations(loop, NoJournal())
    loop.spawn(reservations.keep("a"))
    loop.spawn(reservations.keep("b"))
    assert len(reservations) == 2
    reservations.drop("a")
    assert len(reservations) == 1
    loop.spawn(_after(reservations.keep("c"), loop))
    loop.run()
    assert not reservations


def test_a_reservation_that_is_kept_wakes_nobody_later() -> None:
    loop = Loop()
    reservations = shared.Reservations(loop, NoJournal())
    loop.spawn(reservations.keep("a"))
    reservations.drop("a")
    assert not reservations
    assert not loop._timers, "a timer that nobody waits for"


def test_a_daemon_ends_whose_only_container_could_not_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though its client, which has died perhaps, says nothing more."""
    monkeypatch.setattr(shared, "RESERVED_SECONDS", 0.05)
    loop = Loop()

    async def fail(*_: object) -> None:
        raise RpcError(UNKNOWN, "no such program")

    log = SimpleNamespace(warning=None)
    workers: Any = SimpleNamespace(run=fail, log=log)
    none: Any = None
    tasks = Tasks(loop, workers, none, Exits(), none, "default", NoJournal())
    loop.spawn(shared.keep(tasks, "c1"))
    request = CREATE.decode(CREATE.encode({"id": "c1", "bundle": str(tmp_path)}))
    with pytest.raises(RpcError, match="no such program"):
        tasks.create(request).send(None)
    assert not tasks.ending, "it may be tried again"
    loop.spawn(_stop_after(PATIENCE, loop))
    loop.run()
    assert tasks.ending


async def _stop_after(seconds: float, loop: Loop) -> None:
    await loop.sleep(seconds)
    loop.stop()


async def _after(keeping: object, loop: Loop) -> None:
    await keeping  # type: ignore[misc]
    loop.stop()


def listener(path: Path) -> socket.socket:
    end = socket.socket(socket.AF_UNIX)
    end.bind(str(path))
    end.listen(1)
    return end


def test_nobody_to_ask(tmp_path: Path) -> None:
    path = tmp_path / "s"
    assert shared.ask(str(path), "Reserve", "a") is False
    listener(path).close()
    assert shared.ask(str(path), "Reserve", "a") is False


def test_a_daemon_that_ends_while_it_is_asked(tmp_path: Path) -> None:
    end = listener(tmp_path / "s")

    def hang_up() -> None:
        peer, _ = end.accept()
        peer.close()

    thread = threading.Thread(target=hang_up)
    thread.start()
    assert shared.ask(str(tmp_path / "s"), "Reserve", "a") is False
    thread.join()
    end.close()


def test_a_daemon_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has containers, perhaps: nobody takes its place."""
    monkeypatch.setattr(shared, "ANSWER_SECONDS", 0.05)
    with listener(tmp_path / "s"), pytest.raises(OciError, match="does not answer"):
        shared.ask(str(tmp_path / "s"), "Reserve", "a")


def test_one_start_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "ANSWER_SECONDS", 0.05)
    place = str(tmp_path / "s")
    with shared.Lock(place):
        assert os.stat(place).st_mode & 0o777 == 0o700
        with pytest.raises(OciError, match="locked"), shared.Lock(place):
            pass
    with shared.Lock(place):
        pass
