"""Whatever fails while a container is created: one clear error, and nothing is left.

The plans contain every kind of step; they are executed on the recorder, so no root is needed.
"""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ociruntime.errors import OciError, StepError
from ociruntime.process.run import Run
from ociruntime.process.step import HOST, Step
from tests.support.descriptors import open_descriptors
from tests.support.tally import count as tally
from tests.unit.process.configs import CONFIGS
from tests.unit.process.inline import Creation

Undo = Callable[[Any, Run], None]
ERRNOS = (errno.EIO, errno.EPERM, errno.ENOSPC)
FAULTY = "the fault"
# Steps that may go on when the kernel refuses something, each with its reason. With a warning:
WARNS = {
    "become-root": {errno.EPERM},  # a joined user namespace may have given up setgroups(2)
    "new-keyring": {errno.EPERM},  # a profile forbids keyrings
    "mount-cgroup": {errno.EPERM},  # a hierarchy that a user namespace may not mount
    "open-cgroup-source": {errno.EPERM},  # ... or copy
}
# ... and where it makes no difference to the container:
SILENT = {
    "limit-devices": {errno.EPERM},  # a default device that an outer container denies
    "set-sysctls": {errno.EPERM},  # no new procfs: a copy of the host's is written to
    "claim-state": set(ERRNOS),  # who makes the cgroup looks again
    "make-symlink": set(ERRNOS),  # what cannot be read is replaced
    "prepare-environment": set(ERRNOS),  # no passwd: HOME is /
    "find-program": set(ERRNOS),  # the next directory of PATH
}
# With a child or a descriptor of ours; what follows them may leave a descriptor in the model.
NEVER_FAIL = ("close", "waitid", "pidfd_send_signal")


@pytest.fixture(params=CONFIGS)
def config(request: pytest.FixtureRequest) -> dict[str, Any]:
    return CONFIGS[request.param]()


@pytest.fixture
def numbers() -> Iterator[Iterator[Path]]:
    """A fresh directory for each execution, in memory where that can be: there are thousands."""
    shared = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="ocirt-", dir=shared) as place:

        def directories() -> Iterator[Path]:
            for count in itertools.count():
                made = Path(place, str(count))
                made.mkdir()
                yield made
                shutil.rmtree(made)

        yield directories()


def creation(directory: Path, config: dict[str, Any]) -> Creation:
    return Creation(directory, config, pid_file=str(directory / "pid"))


def assert_clear(error: OciError | None, *words: str) -> None:
    assert error is not None
    text = str(error)
    assert "\n" not in text
    assert "internal error" not in text
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
    """oci-init gets its block and its socket, which is a real one, and nothing else."""
    made = creation(tmp_path, config)
    made.execute()
    init = made.recorder.processes[made.run.pid]
    assert list(init.fds) == [made.run.fds["block"]]
    made.close()


@pytest.mark.parametrize("half_way", [False, True], ids=["before", "after"])
def test_every_step(
    numbers: Iterator[Path], config: dict[str, Any], monkeypatch: pytest.MonkeyPatch, half_way: bool
) -> None:
    """Each step fails in turn: before it did anything, or when it has done all."""
    monkeypatch.setattr("ociruntime.steps.hooks.run_hook", lambda *_, **__: None)
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
    tally("faults")
    original = type(step).execute

    def fail(this: Step, run: Run) -> None:
        if this is not step:
            original(this, run)
            return
        if half_way and step.kind != "exec-init":
            original(this, run)
        raise OSError(errno.EIO, FAULTY)

    patch.setattr(type(step), "execute", fail)


def test_no_descriptor_is_left(
    numbers: Iterator[Path], config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that makes many containers (shim, library) must survive many failures."""
    made = creation(next(numbers), config)
    break_step(monkeypatch, made.run.steps[-1], half_way=False)
    before = open_descriptors()
    assert_clear(made.failure())
    assert open_descriptors() == before
    assert made.recorder.host.fds == {}


def test_success_can_be_closed(tmp_path: Path, config: dict[str, Any]) -> None:
    before = open_descriptors()
    made = creation(tmp_path, config)
    assert made.failure() is None
    made.close()
    assert open_descriptors() == before
    assert made.recorder.host.fds == {}


def test_pid_file_of_another_container_stays(
    tmp_path: Path, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A create that fails before it has written its own leaves what is there."""
    made = creation(tmp_path, config)
    (tmp_path / "pid").write_text("4711")
    step = next(step for step in made.run.steps if step.kind == "write-pid-file")
    break_step(monkeypatch, step, half_way=False)
    assert_clear(made.failure())
    assert (tmp_path / "pid").read_text() == "4711"


def test_undo_is_in_reverse(
    numbers: Iterator[Path], config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = creation(next(numbers), config)
    last = made.run.steps[-1]
    undone: list[Step] = []
    originals = {kind: kind.undo for kind in map(type, made.run.steps)}
    for kind, original in originals.items():
        monkeypatch.setattr(kind, "undo", recording(original, undone))
    break_step(monkeypatch, last, half_way=False)
    assert_clear(made.failure())
    order = [made.run.steps.index(step) for step in undone]
    host = [
        index for index, step in enumerate(made.run.steps) if step.side == HOST or step.host_undoes
    ]
    assert order == host[::-1]


def recording(original: Undo, undone: list[Step]) -> Undo:
    def undo(this: Any, run: Run) -> None:
        undone.append(this)
        original(this, run)

    return undo


@pytest.mark.parametrize(
    ("name", "shift"),
    [("engine", 0), ("engine", 1), ("engine", 2), ("user-namespace", 0), ("joining", 1)],
)
def test_every_call(
    numbers: Iterator[Path], monkeypatch: pytest.MonkeyPatch, name: str, shift: int
) -> None:
    """Each system call fails in turn, each time with one of three errnos."""
    monkeypatch.setattr("ociruntime.steps.hooks.run_hook", lambda *_, **__: None)
    for index, kind in enumerate(callers(creation(next(numbers), CONFIGS[name]()))):
        number = ERRNOS[(index + shift) % len(ERRNOS)]
        made = creation(next(numbers), CONFIGS[name]())
        # As ``callers`` has it: what is collected is carried out step by step.
        made.run.observer = lambda *_: None
        tally("faults")
        made.recorder.fail_at, made.recorder.fail_with = index, number
        error = made.failure()
        call = f"{index} {kind}: {made.recorder.calls[index]}"
        if error is not None:
            assert_clear(error)
            left = made.left()
            if made.recorder.calls[index].name in NEVER_FAIL:
                left = [what for what in left if not what.startswith("descriptor")]
            assert left == [], f"{call}: {error}"
            continue
        assert number in WARNS.get(kind, set()) | SILENT.get(kind, set()), call
        assert bool(made.run.warnings) == (kind in WARNS), call
        made.close()


def callers(made: Creation) -> list[str]:
    """The kind of the step that makes each call of a successful plan."""
    kinds: list[str] = []

    def observe(_side: str, _index: int, step: Step) -> None:
        kinds.extend([step.kind] * (len(made.recorder.calls) - len(kinds)))

    made.run.observer = observe
    made.execute()
    observe("", 0, made.run.steps[-1])
    made.close()
    return kinds
