"""The suite's command line: what cannot be done is said in one line, before anything is run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.__main__ import main

CHECKOUT = Path(__file__).resolve().parents[3]
REPORT = {"runtime": "/r", "version": "r 1", "host": {}, "findings": []}


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("", "give one --runtime PATH (or `matrix` for several)"),
        ("-r true -r true", "give one --runtime PATH (or `matrix` for several)"),
        ("-r /nosuch", "/nosuch: no program there"),
        ("-r /", "/: no program there"),
        ("-r no-such-program", "no-such-program: no program there"),
        ("-r {dir}/text", "{dir}/text: Exec format error"),
        ("-r true -s nosuch", "nosuch: no test, sentence or section of this name"),
        ("-r true -o /nosuch/file", "/nosuch/file: No such file or directory"),
        ("matrix --html x", "give --runtime PATH or --add FILE, more than once"),
        (
            "matrix -r true",
            "say where the matrix goes: --markdown FILE, --html FILE or both",
        ),
        ("matrix --add /nosuch --html x", "/nosuch: No such file or directory"),
        (
            "matrix --add {dir}/text --html x",
            "{dir}/text: no report of this suite; make one with --format json --output FILE",
        ),
        (
            "matrix --add {dir}/part --html x",
            "{dir}/part: no report of this suite; make one with --format json --output FILE",
        ),
        ("matrix -r true --html /nosuch/x", "/nosuch/x: its directory is not there to write to"),
    ],
)
def test_refused(
    arguments: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text").write_text("no program\n")
    (tmp_path / "text").chmod(0o755)
    (tmp_path / "part").write_text(json.dumps(REPORT))
    assert main(arguments.format(dir=tmp_path).split()) == 2
    assert capsys.readouterr().err == f"conformance: {said.format(dir=tmp_path)}\n"


@pytest.mark.parametrize("option", ["--jobs", "--scale"])
@pytest.mark.parametrize("number", ["0", "-1", "x"])
def test_numbers(option: str, number: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["-r", "true", f"{option}={number}"])
    assert end.value.code == 2
    assert f"{option}: " in capsys.readouterr().err


def test_the_catalogue_has_no_faults_to_tell(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    written = capfd.readouterr()
    assert "process." in written.out
    assert written.err == ""


def test_who_reads_has_enough() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "conformance", "list"],
            cwd=CHECKOUT, stdout=writer, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")
