"""The container that the tests of this directory torment, and who asks for what is done to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from tests.fault.victim import Victim
from tests.fault.ways import WAYS, Way

if TYPE_CHECKING:
    from tests.support.bundle import Bundle
    from tests.support.runtime import Runtime


@pytest.fixture
def way(request: pytest.FixtureRequest, runtime: Runtime) -> Way:
    """A command line, where a test does not say otherwise."""
    return WAYS[getattr(request, "param", "command line")](runtime)


@pytest.fixture
def victim(way: Way, bundle: Callable[..., Bundle]) -> Iterator[Victim]:
    made = Victim(way, bundle())
    yield made
    made.close()
