"""tests/distro/report.py: the table of platforms is made of what was found, and of nothing else."""

from __future__ import annotations

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
