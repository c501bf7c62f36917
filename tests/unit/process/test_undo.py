"""What a failing plan cannot take back is told with the error."""

from __future__ import annotations

import errno
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ociruntime.cli import main
from ociruntime.errors import OciError, StepError
from ociruntime.kernel.kernel import Kernel
from ociruntime.process.executor import execute
from ociruntime.process.run import Run
from ociruntime.process.step import Step


class Made(Step):
    """Leaves something that cannot be removed."""

    kind = "made"

    def execute(self, run: Run) -> None:
        pass

    def undo(self, run: Run) -> None:
        raise StepError("cgroup /x", errno.EBUSY, "processes are in it still")


class Fails(Step):
    """Has the plan fail."""

    kind = "fails"

    def execute(self, run: Run) -> None:
        raise OSError(errno.ENOSPC, "no room")


def test_what_is_left_is_told() -> None:
    run = Run(cast("Kernel", SimpleNamespace()), [Made("", "making"), Fails("", "failing")])
    run.warnings.append("of before")
    with pytest.raises(StepError, match="failing") as caught:
        execute(run)
    (line,) = caught.value.left
    assert "cannot undo: making: cgroup /x: EBUSY" in line


def test_it_is_a_warning_of_the_command(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any) -> int:
        error = OciError("it does not work")
        error.left = ["cannot undo: making: x"]
        raise error

    monkeypatch.setattr(main, "_run", fail)
    assert main.main(["create", "x"]) == 1
    assert capfd.readouterr().err.splitlines() == [
        "ociruntime: warning: cannot undo: making: x",
        "ociruntime: it does not work",
    ]
