"""Standard streams of the container's user (steps/streams.py)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

from ociruntime.kernel import constants as c
from ociruntime.steps.streams import OwnStreams


def test_dev_null_is_opened_without_symlinks() -> None:
    """Each time: what was proven may have been exchanged."""
    opened: list[int] = []

    def inroot_open(path: str, flags: int, **_: Any) -> int:
        assert path == "/dev/null"
        opened.append(flags)
        return 9

    inside = SimpleNamespace(open=inroot_open)
    run: Any = SimpleNamespace(inner=MagicMock(), inside=lambda: inside)
    OwnStreams._reopen(run, [0])
    assert [bool(flags & c.O_NOFOLLOW) for flags in opened] == [True, True]
