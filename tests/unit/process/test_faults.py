"""Whatever fails while a container is created: one clear error, and nothing is left.

The plans contain every kind of step; they are executed on the recorder, so no root is needed.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ociruntime.errors import OciError, StepError
from ociruntime.plan.step import Step
from tests.unit.process.configs import CONFIGS
from tests.unit.process.inline import Creation

ERRNOS = (errno.EIO, errno.EPERM, errno.ENOSPC)
FAULTY = "the fault"
# Where a refusal is no reason to give up: what is called, and the step's kind.
MAY_BE_REFUSED = {
    ("keyctl", errno.EPERM),  # kernels without keyrings; a warning
    ("fchownat", errno.EPERM),  # pipes of another user namespace on the standard streams
    ("fsopen", errno.EPERM),  # a private procfs becomes a copy of the host's
    ("fsmount", errno.EPERM),
    ("fsconfig", errno.EPERM),
}


@pytest.fixture(params=CONFIGS)
def config(request: pytest.FixtureRequest) -> dict[str, Any]:
    return CONFIGS[request.param]()


@pytest.fixture
def numbers(tmp_path: Path) -> Iterator[Path]:
    """A fresh directory for each execution."""
    count = 0

    def directories() -> Iterator[Path]:
        nonlocal count
        while True:
            count += 1
            made = tmp_path / str(count)
            made.mkdir()
            yield made

    return directories()


def creation(directory: Path, config: dict[str, Any]) -> Creation:
    return Creation(directory, config, pid_file=str(directory / "pid"))


def assert_clear(error: OciError | None, *words: str) -> None:
    assert error is not None
    text = str(error)
    assert "\n" not in text
    assert len(text) > 10
    for word in words:
        assert word in text


def test_whole_plan(tmp_path: Path, config: dict[str, Any]) -> None:
    made = creation(tmp_path, config)
    assert made.failure() is None
    assert made.init.started is not None
    assert made.init.started.argv[-1] == b"sh"
    assert made.run.container is not None
    assert made.run.container.data["status"] == "created"
    assert (tmp_path / "pid").read_text() == str(made.run.pid)
    assert made.run.warnings == []
    made.close()


def test_no_descriptor_reaches_the_program(tmp_path: Path, config: dict[str, Any]) -> None:
    """oci-init gets its block and its socket, both with a number that it is told, and nothing else."""
    made = creation(tmp_path, config)
    made.execute()
    init = made.recorder.processes[made.run.pid]
    assert len(init.fds) == 2
    made.close()


@pytest.mark.parametrize("half_way", [False, True], ids=["before", "after"])
def test_every_step(
    numbers: Iterator[Path], config: dict[str, Any], monkeypatch: pytest.MonkeyPatch, half_way: bool
) -> None:
    """Each step fails in turn: before it did anything, or when it has done all."""
    kinds = set()
    for index in range(len(creation(next(numbers), config).run.steps)):
        made = creation(next(numbers), config)
        step = made.run.steps[index]
        kinds.add(step.kind)
        with monkeypatch.context() as patch:
            break_step(patch, step, half_way=half_way)
            error = made.failure()
        assert isinstance(error, StepError), step.describe()
        assert error.number == errno.EIO
        assert error.step == step.label
        assert_clear(error, step.label, FAULTY)
        assert made.left() == [], f"{step.kind} {step.label}"
    assert len(kinds) > 20


def break_step(patch: pytest.MonkeyPatch, step: Step, *, half_way: bool) -> None:
    """Make ``execute`` of one step fail."""
    original = type(step).execute

    def fail(this: Step, run: Any) -> None:
        if this is not step:
            original(this, run)
            return
        if half_way and step.kind != "exec-init":
            original(this, run)
        raise OSError(errno.EIO, FAULTY)

    patch.setattr(type(step), "execute", fail)


def test_undo_is_in_reverse(
    numbers: Iterator[Path], config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = creation(next(numbers), config)
    last = made.run.steps[-1]
    undone: list[Step] = []
    for kind in {type(step) for step in made.run.steps}:
        record_undo(monkeypatch, kind, undone)
    break_step(monkeypatch, last, half_way=False)
    assert_clear(made.failure())
    order = [made.run.steps.index(step) for step in undone]
    assert order == sorted(order, reverse=True)
    assert order == [i for i, step in reversed(list(enumerate(made.run.steps))) if step.side == "host"]


def record_undo(patch: pytest.MonkeyPatch, kind: type[Step], undone: list[Step]) -> None:
    original = kind.undo

    def undo(this: Step, run: Any) -> None:
        undone.append(this)
        original(this, run)

    patch.setattr(kind, "undo", undo)


@pytest.mark.parametrize("number", ERRNOS, ids=errno.errorcode.get)
def test_every_call(numbers: Iterator[Path], config: dict[str, Any], number: int) -> None:
    """Each system call fails in turn."""
    whole = creation(next(numbers), config)
    whole.execute()
    whole.close()
    tolerated = set()
    for index in range(len(whole.recorder.calls)):
        made = creation(next(numbers), config)
        made.recorder.fail_at, made.recorder.fail_with = index, number
        error = made.failure()
        name = made.recorder.calls[index].name
        if error is None:
            tolerated.add(name)
            made.close()
            continue
        assert_clear(error)
        assert made.left() == [], f"call {index}: {made.recorder.calls[index]}: {error}"
    assert tolerated <= set()
