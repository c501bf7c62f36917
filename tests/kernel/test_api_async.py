"""The library for asyncio."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest

from ociruntime import api
from tests.support.descriptors import open_descriptors
from tests.support.patience import PATIENCE

T = TypeVar("T")


def runtime_like(library: api.Runtime) -> api.AsyncRuntime:
    return api.AsyncRuntime(library.root, launcher=library.launcher)


def carry_out(what: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(what, PATIENCE))


def test_lines_as_they_come(library: api.Runtime, oci_rootfs: Path) -> None:
    async def lines() -> list[bytes]:
        async with runtime_like(library) as runtime:
            script = "for word in a b c; do echo $word; read line; echo got $line; done; exit 5"
            bundle = runtime.bundle(oci_rootfs, ["sh", "-c", script])
            async with runtime.run(bundle, stdin=api.PIPE, stdout=api.PIPE) as container:
                assert container.stdin is not None
                assert container.stdout is not None
                seen = []
                async for line in container.stdout:
                    seen.append(line)
                    if not line.startswith(b"got"):
                        container.stdin.write(line)
                        await container.stdin.drain()
                status = await container.wait(PATIENCE)
                assert (status.code, status.ok) == (5, False)
                assert (await container.state()).status == "stopped"
            assert await runtime.containers() == []
        return seen

    expected = [b"a\n", b"got a\n", b"b\n", b"got b\n", b"c\n", b"got c\n"]
    assert carry_out(lines()) == expected


def test_life_of_a_container(library: api.Runtime, oci_rootfs: Path) -> None:
    async def life() -> None:
        async with runtime_like(library) as runtime:
            container = await runtime.create(runtime.bundle(oci_rootfs, ["sleep", "100"]), "life")
            async with container:
                assert (await container.state()).status == "created"
                await container.start()
                await container.pause()
                assert (await container.state()).status == "paused"
                await container.resume()
                assert await container.update(pids=30) == []
                assert (await runtime.container("life")).id == "life"
                async with container.exec(
                    ["sh", "-c", "cat; echo $X >&2; exit 4"],
                    env={"X": "y"},
                    stdin=api.PIPE,
                    stdout=api.PIPE,
                    stderr=api.PIPE,
                ) as process:
                    assert await process.communicate(b"in", PATIENCE) == (b"in", b"y\n")
                    assert (await process.wait(PATIENCE)).code == 4
                with pytest.raises(api.ProgramNotFound):
                    await container.exec(["nothing"])
                with pytest.raises(TypeError, match="args"):
                    await container.exec("sleep 1")
                with pytest.raises(api.WrongStatus):
                    await container.delete()
                with pytest.raises(api.Timeout, match="life: the end of its process"):
                    await container.wait(0.01)
                await container.kill("KILL")
                assert (await container.wait(PATIENCE)).signal == signal.SIGKILL
            with pytest.raises(api.NotFound):
                await container.state()

    carry_out(life())


def test_much_output_both_ways(library: api.Runtime, oci_rootfs: Path) -> None:
    """More than pipes hold, in all directions at once, and a reader that stops early."""
    data = b"0123456789abcdef" * 40_000

    async def talk() -> None:
        async with runtime_like(library) as runtime:
            command = ["sh", "-c", "tee /dev/stderr"]
            bundle = runtime.bundle(oci_rootfs, command)
            pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), api.PIPE)
            async with runtime.run(bundle, **pipes) as container:
                assert await container.communicate(data, PATIENCE) == (data, data)
            bundle = runtime.bundle(oci_rootfs, ["head", "-c", "3"])
            async with runtime.run(bundle, **pipes) as container:
                assert await container.communicate(data, PATIENCE) == (data[:3], b"")

    carry_out(talk())


def test_a_timeout_loses_nothing(library: api.Runtime, oci_rootfs: Path) -> None:
    async def talk() -> None:
        async with runtime_like(library) as runtime:
            bundle = runtime.bundle(oci_rootfs, ["sh", "-c", "echo early; read a; echo $a"])
            async with runtime.run(bundle, stdin=api.PIPE, stdout=api.PIPE) as container:
                await container.pause()
                with pytest.raises(api.Timeout, match="the end of its output"):
                    await container.communicate(b"late\n", 0.05)
                await container.resume()
                assert await container.communicate(timeout=PATIENCE) == (b"early\nlate\n", b"")

    carry_out(talk())


def test_many_at_once_and_no_descriptors_left(library: api.Runtime, oci_rootfs: Path) -> None:
    async def one(runtime: api.AsyncRuntime, number: int) -> tuple[bytes, int]:
        bundle = runtime.bundle(oci_rootfs, ["sh", "-c", f"echo {number}; exit {number}"])
        async with runtime.run(bundle, stdout=api.PIPE) as container:
            said, _ = await container.communicate(timeout=PATIENCE)
            return said, (await container.wait(PATIENCE)).code

    async def rounds() -> None:
        async with runtime_like(library) as runtime:
            counts = []
            for _ in range(3):
                found = await asyncio.gather(*(one(runtime, number) for number in range(5)))
                assert found == [(f"{number}\n".encode(), number) for number in range(5)]
                await asyncio.sleep(0)  # transports close their pipes in the next turn of the loop
                counts.append(len(open_descriptors()))
            assert len(set(counts)) == 1
            assert await runtime.containers() == []

    carry_out(rounds())


def test_cancelled_makers_leave_nothing(library: api.Runtime, oci_rootfs: Path) -> None:
    async def cancel() -> None:
        async with runtime_like(library) as runtime:
            bundle = runtime.bundle(oci_rootfs, ["sleep", "100"])
            async with runtime.run(bundle) as container:  # the zygote is up
                for turn in range(12):
                    task = asyncio.ensure_future(runtime.run(bundle, stdout=api.PIPE)._make())
                    await asyncio.sleep(0.002 * turn)
                    task.cancel()
                    try:
                        await (await task).delete(force=True)
                    except asyncio.CancelledError:
                        pass
                assert [each.id for each in await runtime.containers()] == [container.id]

    carry_out(cancel())


def test_a_cancelled_context_removes_its_container(
    library: api.Runtime, oci_rootfs: Path
) -> None:
    async def cancel() -> None:
        async with runtime_like(library) as runtime:
            inside = asyncio.Event()

            async def hold() -> None:
                async with runtime.run(runtime.bundle(oci_rootfs, ["sleep", "100"])):
                    inside.set()
                    await asyncio.sleep(1000)

            task = asyncio.create_task(hold())
            await inside.wait()
            task.cancel()
            await asyncio.sleep(0)
            task.cancel()  # once more, while it removes
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await runtime.containers() == []

    carry_out(cancel())


def test_a_context_removes_although_its_zygote_is_gone(
    library: api.Runtime, oci_rootfs: Path
) -> None:
    async def lose() -> None:
        async with runtime_like(library) as runtime:
            async with runtime.run(runtime.bundle(oci_rootfs, ["sleep", "100"])) as container:
                os.kill(runtime.zygote_pid, signal.SIGKILL)
                with pytest.raises(api.ZygoteGone):
                    await container.wait(PATIENCE)
            assert await runtime.containers() == []

    carry_out(lose())


def test_terminal(library: api.Runtime, oci_rootfs: Path) -> None:
    async def look() -> None:
        async with runtime_like(library) as runtime:
            bundle = runtime.bundle(oci_rootfs, ["sh", "-c", "tty; exit 6"], terminal=True)
            async with runtime.run(bundle, terminal=True) as container:
                assert container.process is not None
                assert os.isatty(container.process.terminal)
                assert (await container.wait(PATIENCE)).code == 6

    carry_out(look())
