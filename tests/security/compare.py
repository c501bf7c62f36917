"""Run the attacks against several runtimes and print the table of docs/security.md.

    python tests/security/compare.py .venv/bin/ociruntime /usr/sbin/runc /usr/bin/crun

Needs root, pytest and pytest-xdist. A cell says how many tests of the file were held; the list
below the table names those that were not.
"""

from __future__ import annotations

import ast
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parent.parent
TIMEOUT = 1200  # seconds for one runtime


@dataclass
class Score:
    """What one runtime did in one file."""

    total: int = 0
    skipped: int = 0
    lost: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """Return `held/total`, bold when something was lost."""
        tried = self.total - self.skipped
        text = f"{tried - len(self.lost)}/{tried}"
        return f"**{text}**" if self.lost else text


def version(binary: Path) -> str:
    """Return `name version` as the runtime reports it."""
    done = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True)
    words = done.stdout.splitlines()[0].split()
    return f"{words[0]} {words[-1]}"


def subject(test_file: Path) -> str:
    """Return the first line of a test file's docstring."""
    text = ast.get_docstring(ast.parse(test_file.read_text())) or test_file.stem
    return text.splitlines()[0].rstrip(".")


def attack(binary: Path) -> dict[str, Score]:
    """Run all files against `binary`; leaks are not counted, only the attacks' outcome.

    Raises RuntimeError when pytest could not run.
    """
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider"]
        command += ["--runtime", str(binary), "--leaks", "ignore", f"--junitxml={report}"]
        done = subprocess.run(
            [*command, str(HERE)],
            cwd=CHECKOUT,
            timeout=TIMEOUT,
            capture_output=True,
            text=True,
            check=False,
        )
        if not report.exists():
            raise RuntimeError(done.stdout + done.stderr)
        tree = ET.parse(report)
    scores: dict[str, Score] = {}
    for case in tree.iter("testcase"):
        name = case.get("classname", "").rpartition(".")[2]
        score = scores.setdefault(name, Score())
        score.total += 1
        if case.find("skipped") is not None:
            score.skipped += 1
        elif case.find("failure") is not None or case.find("error") is not None:
            score.lost.append(case.get("name", "?"))
    return scores


def table(binaries: list[Path]) -> str:
    """Return the comparison as markdown."""
    names = [version(binary) for binary in binaries]
    results = [attack(binary) for binary in binaries]
    lines = ["| attack | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    details: list[str] = []
    for path in sorted(HERE.glob("test_*.py")):
        scores = [result.get(path.stem, Score()) for result in results]
        cells = " | ".join(str(score) for score in scores)
        lines.append(f"| {subject(path)} (`{path.name}`) | {cells} |")
        for name, score in zip(names, scores, strict=True):
            details += [f"- {name}: `{path.name}` {test}" for test in score.lost]
    return "\n".join([*lines, "", "Not held:", "", *(details or ["- nothing"])])


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(f"usage: {sys.argv[0]} RUNTIME…")
    sys.stdout.write(table([Path(name).resolve() for name in sys.argv[1:]]) + "\n")
