"""The library: what a Python program sees, from threads and from asyncio."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ociruntime import api
from tests.support.bundle import Bundle
from tests.support.descriptors import open_descriptors
from tests.support.patience import PATIENCE
from tests.support.sandbox import Sandbox

Made = Callable[..., Bundle]


def path_of(bundle: Bundle) -> Path:
    return bundle.write().path


def test_life_of_a_container(library: api.Runtime, sandbox: Sandbox, bundle: Made) -> None:
    path = path_of(bundle().shell("read line; echo got $line; exit 5"))
    name = sandbox.new_id()
    with library.create(path, name, stdin=api.PIPE, stdout=api.PIPE) as container:
        state = container.state()
        assert (state.id, state.status, state.bundle) == (name, "created", str(path))
        assert container.process is not None
        assert state.pid == container.process.pid
        assert container.process.exited is None
        assert container.start() == []
        assert container.communicate(b"this\n", PATIENCE) == (b"got this\n", b"")
        status = container.wait(PATIENCE)
        assert (status.code, status.signal, status.ok) == (5, 0, False)
        assert abs(status.ended.timestamp() - time.time()) < PATIENCE
        assert container.process.exited == status
        assert container.state().status == "stopped"
    with pytest.raises(api.NotFound):
        container.state()
    assert library.containers() == []


def test_context_removes_a_running_container(
    library: api.Runtime, sandbox: Sandbox, bundle: Made
) -> None:
    with library.run(path_of(bundle(["/bin/sleep", "100"])), sandbox.new_id()) as container:
        with pytest.raises(TimeoutError):
            container.wait(0.05)
        with pytest.raises(api.WrongStatus):
            container.delete()
        assert library.container(container.id).state().status == "running"
    assert library.containers() == []


def test_kill(library: api.Runtime, sandbox: Sandbox, bundle: Made) -> None:
    with library.run(path_of(bundle(["/bin/sleep", "100"])), sandbox.new_id()) as container:
        container.kill(signal.SIGKILL)
        assert container.wait(PATIENCE).signal == signal.SIGKILL
        assert container.process is not None
        with pytest.raises(api.WrongStatus, match="process already finished"):
            container.process.send_signal(signal.SIGTERM)


def test_pause_update_resume(library: api.Runtime, sandbox: Sandbox, bundle: Made) -> None:
    made = bundle(["/bin/sleep", "100"], linux={"resources": {"pids": {"limit": 20}}})
    with library.run(path_of(made), sandbox.new_id()) as container:
        container.pause()
        assert container.state().status == "paused"
        container.resume()
        assert container.state().status == "running"
        container.update({"pids": {"limit": 33}})
        limits = {
            (path / "pids.max").read_text()
            for path in sandbox.cgroups()
            if (path / "pids.max").exists()
        }
        assert "33\n" in limits
        with pytest.raises(api.SpecError, match="pids"):
            container.update({"pids": {"limit": "many"}})


def test_exec(library: api.Runtime, sandbox: Sandbox, bundle: Made) -> None:
    with library.run(path_of(bundle(["/bin/sleep", "100"])), sandbox.new_id()) as container:
        script = "echo $WORD $PWD; id -u; echo bad >&2; exit 4"
        with container.exec(
            ["/bin/sh", "-c", script],
            env={"WORD": "w"},
            cwd="/tmp",
            user=(1000, 1000),
            stdout=api.PIPE,
            stderr=api.STDOUT,
        ) as process:
            assert process.communicate(timeout=PATIENCE) == (b"w /tmp\n1000\nbad\n", b"")
            assert process.wait(PATIENCE).code == 4
        with pytest.raises(api.OciError, match="missing"):
            container.exec(["/missing"])
        exact = {"args": ["/bin/sh", "-c", "echo $X"], "cwd": "/", "env": ["X=1"]}
        with container.exec([], process=exact, stdout=api.PIPE) as process:
            assert process.communicate(timeout=PATIENCE)[0] == b"1\n"
        assert container.state().status == "running"


def test_terminal(library: api.Runtime, sandbox: Sandbox, bundle: Made) -> None:
    path = path_of(bundle().shell("tty; read x").set("/process/terminal", True))
    with library.create(path, sandbox.new_id(), terminal=True) as container:
        assert container.process is not None
        master = container.process.terminal
        container.start()
        assert os.isatty(master)
        assert select.select([master], [], [], PATIENCE)[0]
        assert os.read(master, 100).startswith(b"/dev/")
        os.write(master, b"\n")
        assert container.wait(PATIENCE).code == 0
        with pytest.raises(api.OciError):
            library.create(path, sandbox.new_id())


def test_failures_leave_nothing(library: api.Runtime, sandbox: Sandbox, bundle: Made) -> None:
    before = open_descriptors()
    for _ in range(3):
        with pytest.raises(api.StepError):
            library.run(
                path_of(bundle().bind("/nonexistent", "/mnt")),
                sandbox.new_id(),
                stdin=api.PIPE,
                stdout=api.PIPE,
                stderr=api.PIPE,
                terminal=False,
            )
    # The zygote's socket and its last words.
    assert len(open_descriptors()) == len(before) + 2
    assert library.containers() == []


def test_descriptors_come_back(library: api.Runtime, sandbox: Sandbox, bundle: Made) -> None:
    def once() -> list[str]:
        with library.run(
            path_of(bundle(["/bin/true"])), sandbox.new_id(), stdout=api.PIPE, stdin=api.PIPE
        ) as container:
            container.wait(PATIENCE)
        return open_descriptors()

    assert once() == once() == once()


def test_threads(library: api.Runtime, sandbox: Sandbox, bundle: Made) -> None:
    """Many threads wait at once; each gets its own container's output and status."""
    jobs = [
        (index, path_of(bundle().shell(f"echo {index}; exit {index}")), sandbox.new_id())
        for index in range(12)
    ]

    def one(job: tuple[int, Path, str]) -> tuple[int, bytes, int]:
        index, path, name = job
        with library.run(path, name, stdout=api.PIPE) as container:
            said, _ = container.communicate(timeout=PATIENCE)
            return index, said, container.wait(PATIENCE).code

    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(one, jobs))
    assert results == [(index, f"{index}\n".encode(), index) for index in range(12)]


def test_waiting_thread_does_not_stop_others(
    library: api.Runtime, sandbox: Sandbox, bundle: Made
) -> None:
    with library.run(path_of(bundle(["/bin/sleep", "100"])), sandbox.new_id()) as slow:
        codes: list[int] = []
        waiting = threading.Thread(target=lambda: codes.append(slow.wait(PATIENCE).code))
        waiting.start()
        with library.run(path_of(bundle(["/bin/true"])), sandbox.new_id()) as quick:
            assert quick.wait(PATIENCE).ok
        slow.kill(signal.SIGKILL)
        waiting.join(PATIENCE)
        assert codes == [137]


def test_asyncio(library: api.Runtime, sandbox: Sandbox, bundle: Made) -> None:
    jobs = [
        (path_of(bundle().shell(f"sleep 0.1; exit {code}")), sandbox.new_id()) for code in range(4)
    ]

    async def one(path: Path, name: str) -> int:
        container = await asyncio.to_thread(library.run, path, name)
        try:
            return (await container.ended()).code
        finally:
            await asyncio.to_thread(container.delete, force=True)

    async def all_of_them() -> list[int]:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.01)
                ticks += 1

        ticking = asyncio.create_task(tick())
        codes = await asyncio.gather(*(one(path, name) for path, name in jobs))
        ticking.cancel()
        assert ticks > 3, "the event loop stood still"
        return list(codes)

    assert asyncio.run(all_of_them()) == [0, 1, 2, 3]


def test_cancelled_wait_can_be_repeated(
    library: api.Runtime, sandbox: Sandbox, bundle: Made
) -> None:
    with library.run(path_of(bundle(["/bin/sleep", "100"])), sandbox.new_id()) as container:

        async def impatient() -> int:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(container.ended(), 0.05)
            container.kill(signal.SIGKILL)
            return (await container.ended()).code

        assert asyncio.run(impatient()) == 137


def test_preserved_descriptors(library: api.Runtime, sandbox: Sandbox, bundle: Made) -> None:
    read, write = os.pipe()
    path = path_of(bundle().shell("echo preserved >&3"))
    with library.run(path, sandbox.new_id(), preserve_fds=[write]) as container:
        os.close(write)
        with open(read, "rb") as file:
            assert file.read() == b"preserved\n"
        container.wait(PATIENCE)


def test_container_of_another_program(
    library: api.Runtime, sandbox: Sandbox, bundle: Made, runtime_binary: Path
) -> None:
    path, name = path_of(bundle(["/bin/sleep", "100"])), sandbox.new_id()
    subprocess.run(
        [runtime_binary, "--root", sandbox.root, "run", "-d", "-b", path, name],
        check=True,
        env=sandbox.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with library.container(name) as container:
        assert container.state().status == "running"
        with pytest.raises(api.StateError, match="another program"):
            container.wait()
    with pytest.raises(api.NotFound):
        library.container(name)


def test_command(library: api.Runtime, sandbox: Sandbox, bundle: Made, tmp_path: Path) -> None:
    with library.run(path_of(bundle(["/bin/sleep", "100"])), sandbox.new_id()) as container:
        output = tmp_path / "output"
        with output.open("wb") as file:
            assert library.command(["list", "--format", "json"], stdout=file) == 0
        assert [entry["id"] for entry in json.loads(output.read_text())] == [container.id]
        assert library.command(["state", "missing"]) == 1
