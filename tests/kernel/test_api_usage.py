"""What a container uses and who is in it, as the library tells it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ociruntime import api
from tests.support.descriptors import open_descriptors
from tests.support.patience import PATIENCE

INTERVAL = 0.02


def test_stats(library: api.Runtime, oci_rootfs: Path) -> None:
    script = "sleep 100 & i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo done; wait"
    bundle = library.bundle(oci_rootfs, ["sh", "-c", script], memory="64M", pids=30)
    with library.run(bundle, stdout=api.PIPE) as container:
        assert container.stdout is not None
        assert container.stdout.readline() == b"done\n"
        stats = container.stats()
        assert 0.001 < stats.cpu_seconds < 60
        assert 0 < stats.memory < stats.memory_limit == 64 << 20  # type: ignore[operator]
        assert stats.pids == 2
        assert stats.pids_limit == 30
        assert stats.oom_kills == 0
        assert timedelta(0) <= datetime.now(UTC) - stats.time < timedelta(minutes=1)
        assert stats.raw["pids"]["current"] == 2
        assert container.stats().cpu_seconds >= stats.cpu_seconds
    with pytest.raises(api.NotFound):
        container.stats()


def test_no_limits_are_none(library: api.Runtime, oci_rootfs: Path) -> None:
    with library.run(library.bundle(oci_rootfs, ["sleep", "100"])) as container:
        stats = container.stats()
        assert stats.memory_limit is None
        assert stats.pids_limit is None
    with library.run(library.bundle(oci_rootfs, ["true"])) as container:
        container.wait(PATIENCE)
        with pytest.raises(api.WrongStatus, match="container not running"):
            container.stats()


def test_events_until_the_end(library: api.Runtime, oci_rootfs: Path) -> None:
    with library.run(library.bundle(oci_rootfs, ["sleep", "100"])) as container:
        before = open_descriptors()
        container.stats()
        container.ps()
        assert open_descriptors() == before
        seen = []
        for event in container.events(INTERVAL):
            assert (event.kind, event.id) == ("stats", container.id)
            assert event.stats is not None
            seen.append(event.stats.pids)
            if len(seen) == 3:
                container.kill("KILL")
        assert seen[:3] == [1, 1, 1]
        assert open_descriptors() == before


def test_events_of_memory(library: api.Runtime, oci_rootfs: Path) -> None:
    script = "read x; head -c 100000000 /dev/zero | tail; exit 0"
    no_swap = {"resources": {"memory": {"swap": 8 << 20}}}
    bundle = library.bundle(oci_rootfs, ["sh", "-c", script], memory="8M", linux=no_swap)
    with library.run(bundle, stdin=api.PIPE) as container:
        assert container.stdin is not None
        events = container.events(INTERVAL)
        assert next(events).kind == "stats"
        container.stdin.write(b"\n")
        container.stdin.flush()
        assert "oom" in {event.kind for event in events}


def test_ps(library: api.Runtime, oci_rootfs: Path) -> None:
    with library.run(library.bundle(oci_rootfs, ["sleep", "100"], user=1000)) as container:
        with container.exec(["sleep", "200"], user=0) as process:
            first, second = container.ps()
            assert container.process is not None
            assert (first.pid, first.parent) == (container.process.pid, library.zygote_pid)
            assert (first.uid, first.args) == (1000, ("sleep", "100"))
            assert (second.pid, second.uid) == (process.pid, 0)
            assert second.args == ("sleep", "200")


def test_networks_of_one_without(library: api.Runtime, oci_rootfs: Path) -> None:
    with library.run(library.bundle(oci_rootfs, ["sleep", "100"], net="none")) as container:
        assert container.networks() == []


def test_asyncio_sees_the_same(library: api.Runtime, oci_rootfs: Path) -> None:
    async def look() -> None:
        async with api.AsyncRuntime(library.root, launcher=library.launcher) as runtime:
            bundle = runtime.bundle(oci_rootfs, ["sleep", "100"], pids=30)
            async with runtime.run(bundle) as container:
                before = open_descriptors()
                assert (await container.stats()).pids_limit == 30
                assert [each.args for each in await container.ps()] == [("sleep", "100")]
                assert await container.networks() == []
                kinds = []
                async for event in container.events(INTERVAL):
                    kinds.append(event.kind)
                    if len(kinds) == 2:
                        await container.kill("KILL")
                assert kinds[:2] == ["stats", "stats"]
                assert open_descriptors() == before

    asyncio.run(look())


def test_events_do_not_stop_the_loop(library: api.Runtime, oci_rootfs: Path) -> None:
    async def look() -> None:
        async with api.AsyncRuntime(library.root, launcher=library.launcher) as runtime:
            async with runtime.run(runtime.bundle(oci_rootfs, ["sleep", "100"])) as container:
                events = container.events(1000)
                waiting = asyncio.ensure_future(anext(events))
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(waiting, 0.05)
                await events.aclose()  # type: ignore[attr-defined]

    asyncio.run(look())
