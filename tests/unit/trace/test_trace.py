"""The records, the document, the probes' table; nothing of it is loaded without --trace."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest

from ociruntime.cli.main import main
from ociruntime.kernel import block
from ociruntime.process.step import Step
from ociruntime.steps.prepare import OpenInit
from ociruntime.trace import probes, steps, times
from ociruntime.trace.document import document
from ociruntime.trace.records import INIT, OCI_INIT, PARENT, Session, TracedRun

CHECKOUT = Path(__file__).resolve().parents[3]
SCHEMA = json.loads((CHECKOUT / "schemas" / "trace.json").read_text())


def test_every_probe_exists() -> None:
    for name, functions in probes.SPANS.items():
        module = import_module(name)
        for path in functions:
            assert callable(attrgetter(path)(module)), f"{name}:{path}"
    for name, special in probes.special(Session()).items():
        assert name in probes.SPECIAL
        for path in special:
            assert callable(attrgetter(path)(import_module(name)))


def test_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_records_of_several_processes() -> None:
    session = Session()
    session.record(10, 20, "ours")
    session.runs.append(TracedRun())
    child = os.fork()
    if child == 0:
        session.note(INIT, os.getpid(), 12, 13, "its\0refused")
        os._exit(0)
    os.waitpid(child, 0)
    found = [(r.role, r.pid, r.begin, r.end, r.name, r.error) for r in session.records()]
    assert found == [
        (PARENT, os.getpid(), 10, 20, "ours", ""),
        (INIT, child, 12, 13, "its", "refused"),
    ]


def test_the_memfd_is_not_inherited() -> None:
    session = Session()
    assert not os.get_inheritable(session._fd)
    assert session._fd >= os.sysconf("SC_OPEN_MAX") // 2


def test_document(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["ociruntime", "run", "a\udcff"])
    session = Session()
    session.steps.append(OpenInit())
    session.runs.append(TracedRun())
    session.runs[0].pid, session.runs[0].ahead = 77, 1_000_000
    session.record(5_000, 9_500, "create\0no")
    session.note(PARENT, session.pid, 6_000, 7_000, "", 0)
    session.note(INIT, 1, 6_000, 8_000, "", 0)
    # In its time namespace, a millisecond ahead.
    session.note(OCI_INIT, 1, 1_008_000, 1_009_000, "stage")
    written = json.loads(document(session, "run"))
    jsonschema.validate(written, SCHEMA)
    spans = {(e["tid"], e["cat"]): e for e in written["traceEvents"] if e["ph"] == "X"}
    assert spans[0, "phase"]["args"] == {"error": "no"}
    assert spans[0, "step"]["args"]["step"] == "open-init"
    assert (spans[1, "step"]["pid"], spans[1, "step"]["ts"], spans[1, "step"]["dur"]) == (77, 6, 2)
    assert (spans[2, "stage"]["pid"], spans[2, "stage"]["ts"]) == (77, 8)
    assert written["otherData"]["arguments"] == ["run", "a\\udcff"]


class Failing(Step):
    """A step that fails and can be undone."""

    __slots__ = ("undone",)

    def execute(self, run: Any) -> None:
        raise OSError(1, "not today")

    def undo(self, run: Any) -> None:
        self.undone = True


def test_a_failing_step_is_told_and_undone() -> None:
    session, step = Session(), Failing("/x", "failing")

    def original(run: Any) -> None:
        with pytest.raises(OSError, match="not today"):
            step.execute(run)
        step.undo(run)

    steps.execute(session)(original)(SimpleNamespace(steps=[step]))
    assert isinstance(step, Failing)
    assert step.undone
    told = [(record.name, record.error) for record in session.records()]
    assert told == [(steps.PREPARING, ""), ("", "[Errno 1] not today"), (steps.UNDO, "")]


def test_imported_names_are_followed() -> None:
    def old() -> None:
        """To be replaced."""

    def new() -> None:
        """Its replacement."""

    names: dict[str, Any] = {"old": old, "other": print}
    probes._follow(names, [("old", old, new)])
    assert names == {"old": new, "other": print}


class Channel:
    """A connection on which messages wait."""

    def __init__(self, messages: list[bytes]) -> None:
        self.messages = messages

    def recvmsg(self, *_: int) -> tuple[bytes, list[Any], int, None]:
        return (self.messages.pop(0) if self.messages else b""), [], 0, None


def test_times_of_oci_init_do_not_reach_the_reader() -> None:
    def timed(stage: int, seconds: int) -> bytes:
        return block.REPORT.pack(block.REPORT_MAGIC, stage | block.REPORT_TIME, seconds, 5)

    failure = block.REPORT.pack(block.REPORT_MAGIC, block.STAGE_EXEC, 2, 0)
    session = Session()
    session.runs.append(TracedRun())
    channel = Channel([timed(block.STAGE_CAPS, 1), timed(block.STAGE_SECCOMP, 2), failure])
    read = times.read_report(session)(lambda c: c.recvmsg(64)[0])
    assert read(channel) == failure
    names = [record.name for record in session.records() if record.role == OCI_INIT]
    assert names == [times.STAGES[block.STAGE_CAPS], times.STAGES[block.STAGE_SECCOMP]]
    begins = [record.begin for record in session.records() if record.role == OCI_INIT]
    assert begins == [1_000_000_005, 2_000_000_005]


def test_no_time_namespace_no_offset() -> None:
    assert steps.clock_ahead(os.getpid()) == 0
    assert steps.clock_ahead(0) == 0  # no such file: not known


def test_without_the_option_nothing_of_it_is_loaded() -> None:
    code = (
        "import sys; from ociruntime.cli.main import main; "
        "main(['--root', '/nowhere', 'state', 'x']); "
        "print([n for n in sys.modules if n.startswith('ociruntime.trace')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=CHECKOUT
    )
    assert done.stdout == "[]\n"


def traced(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own: probes stay for the life of a process."""
    code = "import sys; from ociruntime.cli.main import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=CHECKOUT)


def test_a_failing_command_leaves_its_trace(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    done = traced(["--root", str(tmp_path / "root"), "--trace", str(path), "state", "none"])
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "ociruntime: container does not exist: none\n"
    written = json.loads(path.read_text())
    jsonschema.validate(written, SCHEMA)
    whole = next(e for e in written["traceEvents"] if e["name"] == "ociruntime state")
    assert "container does not exist" in whole["args"]["error"]


def test_a_file_that_cannot_be_written_is_told_first(tmp_path: Path) -> None:
    done = traced(["--trace", str(tmp_path / "no" / "trace"), "spec", "--config", "made.json"])
    assert done.returncode == 1
    assert "name a file that can be written" in done.stderr
    assert not (CHECKOUT / "made.json").exists()


@pytest.mark.parametrize("verb", ["zygote", "shim"])
def test_servers_are_refused(verb: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--trace", str(tmp_path / "trace"), verb]) == 1
    assert f"{verb} serves many commands" in capfd.readouterr().err
    assert not (tmp_path / "trace").exists()
