"""checkpoint by the library."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from ociruntime import api
from tests.support.bundle import Bundle
from tests.support.criu import count
from tests.support.criu import criu as found_criu
from tests.support.runtime import Runtime as Counted
from tests.support.sandbox import Sandbox

Made = Callable[..., Bundle]


@pytest.fixture
def criu() -> Path:
    return found_criu()


@pytest.fixture
def host(library: api.Runtime, runtime: Counted) -> Counted:
    """The command line, for the library's containers."""
    runtime.root = Path(library.root)
    return runtime


def test_a_checkpoint(
    library: api.Runtime, sandbox: Sandbox, bundle: Made, tmp_path: Path, criu: Path
) -> None:
    path = bundle(["/bin/sleep", "100"]).write().path
    with library.run(path, sandbox.new_id()) as container:
        container.checkpoint(tmp_path / "one", leave_running=True, criu=criu)
        assert container.state().status == "running"
        container.checkpoint(tmp_path / "two", criu=criu)
        with pytest.raises(api.NotFound):
            container.state()
    for name in ("one", "two"):
        assert list((tmp_path / name).glob("pstree*.img"))


def test_there_and_back(
    library: api.Runtime, sandbox: Sandbox, counter: Bundle, host: Counted, criu: Path
) -> None:
    images = sandbox.directory / "images"
    with library.run(counter.write().path, sandbox.new_id()) as container:
        reached = count(host, container.id)
        container.checkpoint(images, work_path=sandbox.directory / "work", criu=criu)
        assert (sandbox.directory / "work" / "dump.log").exists()
        with pytest.raises(TypeError, match="did you mean work_path"):
            library.restore(counter.path, images, work_pat="x")  # type: ignore[call-arg]
        with pytest.raises(api.OciError, match="no such directory"):
            library.restore(counter.path, images / "no", sandbox.new_id(), criu=criu)
        with library.restore(counter.path, images, sandbox.new_id(), criu=criu) as again:
            assert again.state().status == "running"
            count(host, again.id, reached)
            with pytest.raises(api.StateError):
                again.wait(timeout=1)


def test_mounts(
    library: api.Runtime, sandbox: Sandbox, bundle: Made, host: Counted, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("added")
    mount = {"destination": "/added", "source": str(tmp_path), "options": ["bind", "ro"]}
    path = bundle(["/bin/sleep", "100"]).write().path
    with library.run(path, sandbox.new_id()) as container:
        assert container.add_mounts([mount]) == []
        assert host.exec(container.id, "cat", "/added/file").check().stdout == "added"
        container.remove_mounts("/added")
        assert not host.exec(container.id, "cat", "/added/file").ok
        with pytest.raises(api.OciError, match="nothing is mounted"):
            container.remove_mounts("/added")
        with pytest.raises(TypeError, match="add_mounts: give a list"):
            container.add_mounts(mount)  # type: ignore[arg-type]
        with pytest.raises(api.OciError, match="cannot be added"):
            container.add_mounts([{"destination": "/p", "type": "proc"}])


def test_for_asyncio(
    library: api.Runtime, sandbox: Sandbox, counter: Bundle, tmp_path: Path, criu: Path
) -> None:
    async def there_and_back() -> None:
        async with api.AsyncRuntime(library.root, launcher=library.launcher) as runtime:
            path = counter.write().path
            async with runtime.run(path, sandbox.new_id()) as container:
                mount = {"destination": "/more", "type": "tmpfs", "source": "tmpfs"}
                await container.add_mounts([mount])
                await container.remove_mounts("/more")
                await container.checkpoint(tmp_path / "images", criu=criu)
                images = tmp_path / "images"
                made = await runtime.restore(path, images, sandbox.new_id(), criu=criu)
                async with made:
                    assert (await made.state()).status == "running"

    asyncio.run(there_and_back())


def test_a_failure_is_told_and_harmless(
    library: api.Runtime, sandbox: Sandbox, bundle: Made, tmp_path: Path
) -> None:
    path = bundle(["/bin/sleep", "100"]).write().path
    with library.run(path, sandbox.new_id()) as container:
        with pytest.raises(api.OciError, match="no-such-criu"):
            container.checkpoint(tmp_path / "x", criu="/no-such-criu")
        with pytest.raises(TypeError, match="path"):
            container.checkpoint(7)  # type: ignore[arg-type]
        assert container.state().status == "running"

        async def same() -> None:
            async with api.AsyncRuntime(library.root, launcher=library.launcher) as runtime:
                known = await runtime.container(container.id)
                with pytest.raises(api.OciError, match="no-such-criu"):
                    await known.checkpoint(tmp_path / "x", criu="/no-such-criu")

        asyncio.run(same())
