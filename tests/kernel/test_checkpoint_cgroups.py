"""checkpoint and restore, and the cgroups of others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.host import Host
from tests.support.bundle import Bundle
from tests.support.criu import checkpoint, count, restore
from tests.support.runtime import Runtime
from tests.support.sandbox import Sandbox

# One that a container can do without; of v1, where each has a tree of its own.
CONTROLLER = "hugetlb"
WITHOUT = ("unshare", "-m", "sh", "-c", 'umount "$0" && exec "$@"')


@pytest.fixture
def hierarchy() -> Path:
    found = Host(Path()).controller(CONTROLLER)
    if found is None or Host(Path()).unified:
        pytest.skip(f"no hierarchy of cgroup v1 with the controller {CONTROLLER} here")
    return found


@pytest.fixture
def elsewhere(hierarchy: Path, sandbox: Sandbox) -> Iterator[Path]:
    """A cgroup of somebody else."""
    made = hierarchy / f"other-{sandbox.directory.name}"
    made.mkdir()
    yield made
    if made.exists():
        made.rmdir()


def test_those_of_others_are_no_part_of_it(
    criu_host: Runtime, counter: Bundle, images: Path, hierarchy: Path, elsewhere: Path
) -> None:
    """Of a hierarchy in which the container has no cgroup nothing is noted, and nothing made."""
    without = {"wrapper": (*WITHOUT, str(hierarchy))}
    container = criu_host.create(counter, **without).check().container
    criu_host.start(container).check()
    count(criu_host, container)
    checkpoint(criu_host, container, images, **without).check()
    assert elsewhere.name.encode() not in (images / "cgroup.img").read_bytes()
    elsewhere.rmdir()
    again = restore(criu_host, counter, images, **without).check().container
    count(criu_host, again)
    assert not elsewhere.exists()
