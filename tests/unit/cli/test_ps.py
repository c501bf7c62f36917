"""`ps`: the lines of the container's processes, found by the column PID, wherever that is."""

from __future__ import annotations

from pathlib import Path

import pytest

from ociruntime.cli.ps import run_ps, select
from ociruntime.errors import OciError

from .caller import call
from .test_list import stopped

OUTPUT = """\
UID        PID  PPID  C CMD
root         1     0  0 init
root        17     1  0 sh -c 42
user        42    17  0 sleep 1
"""


def test_select() -> None:
    assert select(OUTPUT, [42]) == "UID        PID  PPID  C CMD\nuser        42    17  0 sleep 1\n"
    assert select(OUTPUT, [1, 17]).count("\n") == 3
    assert select(OUTPUT, []) == "UID        PID  PPID  C CMD\n"


def test_pid_column_may_be_anywhere() -> None:
    assert select("  PID\n   42\n    7\n", [7]) == "  PID\n    7\n"
    assert select("PPID PID\n42 7\n7 42\n", [7]) == "PPID PID\n42 7\n"
    assert select("PPID PID\n42\n\n", [42]) == "PPID PID\n"


def test_pid_column_behind_one_of_several_words() -> None:
    output = (
        "COMMAND            PPID     PID\n"
        "sh -c 7 7             1      42\n"
        "sh 42 1 7            42       7\n"
    )
    assert select(output, [7]).splitlines()[1:] == ["sh 42 1 7            42       7"]
    assert select(output, [42]).splitlines()[1:] == ["sh -c 7 7             1      42"]


def test_numbers_too_long_for_their_column() -> None:
    output = "  SZ PID\n1234567 42\n   1   7\n"
    assert select(output, [42]).splitlines()[1:] == ["1234567 42"]


def test_no_pid_column() -> None:
    with pytest.raises(OciError, match="add pid to the columns"):
        select("CMD\nsh\n", [1])


def test_host_ps() -> None:
    assert "PID" in run_ps(["-ef"]).splitlines()[0]
    with pytest.raises(OciError, match=r"ps --no-such-option: exit status 1: \S"):
        run_ps(["--no-such-option"])


def test_host_without_ps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OciError, match="install procps"):
        run_ps(["-ef"])


def test_stopped(tmp_path: Path) -> None:
    stopped(tmp_path, "a")
    for form in ("json", "table"):
        outcome = call(tmp_path, "ps", "--format", form, "a")
        assert (outcome.status, outcome.stderr) == (0, "")
        assert outcome.stdout == "[]\n" if form == "json" else outcome.stdout.count("\n") == 1


def test_absent(tmp_path: Path) -> None:
    outcome = call(tmp_path, "ps", "absent")
    assert outcome.status == 1
    assert "container does not exist" in outcome.stderr


@pytest.mark.parametrize("words", [[], ["-f", "yaml", "a"], ["../a"], ["--bad", "a"]])
def test_misuse(tmp_path: Path, words: list[str]) -> None:
    outcome = call(tmp_path, "ps", *words)
    assert (outcome.status, outcome.stdout) == (1, "")
    assert outcome.stderr.count("\n") == 1
