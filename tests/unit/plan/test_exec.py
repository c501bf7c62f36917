"""The plan of exec: who gives a process its OOM score."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from ociruntime.plan.exec import _with_oom_score
from ociruntime.plan.host import Powers


@pytest.mark.parametrize(
    ("value", "euid", "count"), [(None, 1000, 1), (5, 0, 1), (5, 1000, 3), (0, 1000, 3)]
)
def test_a_caller_without_root_lends_the_process_his_own(
    value: int | None, euid: int, count: int
) -> None:
    enter: Any = SimpleNamespace(label="exec")
    process = cast("Any", {} if value is None else {"oomScoreAdj": value})
    steps = _with_oom_score(enter, process, Powers(euid, 0, 40))
    assert len(steps) == count
    assert steps[count // 2] is enter
