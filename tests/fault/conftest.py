"""The container that the tests of this directory torment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from tests.fault.victim import Victim

if TYPE_CHECKING:
    from tests.support.bundle import Bundle
    from tests.support.runtime import Runtime
    from tests.support.sandbox import Sandbox


@pytest.fixture
def victim(runtime: Runtime, sandbox: Sandbox, bundle: Callable[..., Bundle]) -> Iterator[Victim]:
    made = Victim(runtime, sandbox, bundle())
    yield made
    made.close()
