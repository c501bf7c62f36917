"""A unit that is there already, and whose cgroup somebody is in."""

from __future__ import annotations

from typing import Any

import pytest

from ociruntime.cgroups.path import Placement
from ociruntime.cgroups.systemd.bus import Refused
from ociruntime.cgroups.systemd.group import TAKEN, UnitV2
from ociruntime.cgroups.unit import Unit
from ociruntime.errors import StepError
from ociruntime.kernel.kernel import Kernel


class Manager:
    """It says one thing of each unit: ``state``; none refuses to."""

    def __init__(self, state: str | None) -> None:
        self.state = state

    def unit_property(self, name: str, interface: str, member: str) -> str:
        assert (name, interface, member) == ("a.scope", "Unit", "ActiveState")
        if self.state is None:
            raise Refused("org.freedesktop.systemd1.NoSuchUnit", "no such unit")
        return self.state


class Occupied(UnitV2):
    """Somebody is in its cgroup."""

    def _refuse_occupied(self) -> None:
        raise StepError("cgroup", 0, "somebody is in it")


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("active", TAKEN),
        ("activating", TAKEN),
        ("reloading", TAKEN),
        ("inactive", "somebody is in it"),
        (None, "somebody is in it"),
    ],
)
def test_who_is_in_the_way(state: str | None, words: str) -> None:
    unit = Unit("a.scope", "system.slice", "/", user=False)
    manager: Any = Manager(state)
    with pytest.raises(StepError) as caught:
        Occupied(Kernel(), Placement("v2", [], unit))._refuse_taken(manager)
    assert words in str(caught.value)
