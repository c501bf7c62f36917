"""tests/distro/report.py: the table of platforms is made of what was found, and of nothing else."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.support.patience import PATIENCE

REPORT = Path(__file__).resolve().parents[1] / "distro" / "report.py"
PAGE = """before
<!-- made by `make distro-test` -->
| distribution | architecture | Python |
| --- | --- | --- |
| Debian trixie | x86_64 | old |
| Debian sid | x86_64 | kept |
<!-- end -->
behind
"""


def result(place: Path, name: str, **fields: str) -> None:
    text = "".join(f"RESULT {key} {value}\n" for key, value in fields.items())
    (place / "build" / "distro" / f"{name}.result").write_text(text)


def test_rows_of_what_was_tested_now(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    (tmp_path / "build" / "distro").mkdir(parents=True)
    result(tmp_path, "trixie", distribution="Debian trixie", architecture="x86_64", python="3.13.5",
           demo="yes", image="yes", tests="9 passed", state="0.25")  # fmt: skip
    result(tmp_path, "vm", distribution="Debian trixie", architecture="aarch64", python="3.13",
           demo="yes", image="yes", tests="5 passed", conformance="7 pass", state="1")
    subprocess.run([sys.executable, REPORT, page], cwd=tmp_path, check=True, timeout=PATIENCE)
    lines = page.read_text().splitlines()
    assert (lines[0], lines[-1]) == ("before", "behind")
    assert lines[4:-2] == [
        "| Debian trixie | x86_64 | 3.13.5 | yes | yes | 9 passed | 0.25 |",
        "| Debian sid | x86_64 | kept |",
        "| Debian trixie | aarch64 | 3.13 | yes | yes | 5 passed; conformance suite: 7 pass | 1 |",
    ]


def test_what_is_selected_is_there() -> None:
    """A file that was renamed would be missed only by a run of an hour."""
    tests = REPORT.parents[1]
    selection = (tests / "vm" / "foreign-selection").read_text().splitlines()
    files = [line.partition("::")[0] for line in selection if not line.startswith("#")]
    script = (tests / "distro" / "inside").read_text()
    for line in re.findall(r"""kernel=['"](.*?)['"]""", script):
        files += [f"tests/kernel/test_{name}.py" for name in line.removeprefix("$kernel ").split()]
    files += re.findall(r"tests/\w+/\w+\.(?:py|sh)", script)
    assert len(files) > 20
    assert [file for file in files if not (tests.parent / file).is_file()] == []
