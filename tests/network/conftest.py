"""A host of the test's own: a network namespace with an outside world, and containers in it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.network.host import Host, HostRuntime
from tests.support.runtime import Runtime
from tests.support.sandbox import Sandbox


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of these need root."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker("kernel")


@pytest.fixture
def host(sandbox: Sandbox, runtime_binary: Path) -> Iterator[Host]:
    """A host; what its containers leave on it is a leak."""
    with opened(Host(sandbox, runtime_binary)) as made:
        yield made


@pytest.fixture
def twin(sandbox: Sandbox, runtime_binary: Path) -> Iterator[Host]:
    """Another host, which looks the same."""
    with opened(Host(sandbox, runtime_binary, "twin")) as made:
        yield made


@contextmanager
def opened(made: Host) -> Iterator[Host]:
    """`made` until it is closed, and checked."""
    try:
        yield made
        made.stop_containers()
        left = made.leftovers()
    finally:
        made.close()
    assert not left, "left on the host:\n  " + "\n  ".join(left)


@pytest.fixture
def hosted(host: Host, runtime_binary: Path, sandbox: Sandbox) -> Iterator[Runtime]:
    """The runtime as called on `host`."""
    under_test = HostRuntime(runtime_binary, sandbox, host)
    yield under_test
    assert not under_test.remove_all()


@pytest.fixture(params=["nftables", "iptables"])
def firewall(request: pytest.FixtureRequest) -> str:
    """Each way to set the packet filter."""
    program = {"nftables": "nft", "iptables": "iptables"}[request.param]
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    return str(request.param)


@pytest.fixture
def conflist(sandbox: Sandbox) -> Callable[..., str]:
    """Write a network configuration, and give its path."""

    def write(name: str, *plugins: dict[str, Any], version: str = "1.0.0") -> str:
        import json

        path = sandbox.directory / f"{name}.conflist"
        document = {"cniVersion": version, "name": name, "plugins": list(plugins)}
        path.write_text(json.dumps(document))
        return str(path)

    return write
