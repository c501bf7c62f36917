"""checkpoint by the library."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from ociruntime import api
from tests.support.bundle import Bundle
from tests.support.criu import criu as found_criu
from tests.support.sandbox import Sandbox

Made = Callable[..., Bundle]


@pytest.fixture
def criu() -> Path:
    return found_criu()


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
