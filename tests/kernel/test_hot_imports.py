"""What explains, observes and helps costs the commands that engines call nothing: each is called
for real, and what it has imported by then is looked at, also inside of functions.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.bundle import Bundle
from tests.support.patience import PATIENCE
from tests.support.runtime import Runtime
from tests.support.sandbox import Sandbox

CHECKOUT = Path(__file__).resolve().parents[2]
PROBE = """
import sys
from ociruntime.cli.main import main
status = main(sys.argv[2:])
with open(sys.argv[1], "w") as file:
    print(*sorted(sys.modules), sep="\\n", file=file)
sys.exit(status)
"""
# For people and programs that ask: no command of the others has any of it.
ASKED_FOR = (
    "ociruntime.api", "ociruntime.doctor", "ociruntime.features", "ociruntime.library",
    "ociruntime.metrics", "ociruntime.plan.compare", "ociruntime.plan.explain",
    "ociruntime.pytest_plugin", "ociruntime.screen", "ociruntime.spec.explain",
    "ociruntime.spec.formats", "ociruntime.spec.schema", "ociruntime.spec.sentences",
    "ociruntime.similar", "ociruntime.spec.topics", "ociruntime.spec.walk", "ociruntime.top",
    "ociruntime.trace", "ociruntime.cli.doctor", "ociruntime.cli.explain", "ociruntime.cli.foresee",
    "ociruntime.cli.help", "ociruntime.cli.metrics", "ociruntime.cli.plan", "ociruntime.cli.top",
    "ociruntime.cli.trace", "ociruntime.cli.validate", "jsonschema", "textual", "textwrap",
)  # fmt: skip


def test_no_hot_command_imports_what_explains(
    runtime: Runtime, bundle: Callable[..., Bundle], sandbox: Sandbox, tmp_path: Path
) -> None:
    if not runtime.is_ours:
        pytest.skip("looks into ociruntime")
    for part in ASKED_FOR:  # a name that is no more guards nothing
        if part.startswith("ociruntime."):
            place = CHECKOUT / part.replace(".", "/")
            assert place.is_dir() or place.with_suffix(".py").exists(), part
    made = bundle(["/bin/sleep", "100"]).write()
    listed, said = tmp_path / "modules", tmp_path / "said"

    def called(*words: str) -> None:
        with said.open("w") as output:  # the container keeps it, and would keep a pipe open
            done = subprocess.run(
                [sys.executable, "-c", PROBE, listed, "--root", runtime.root, *words],
                cwd=CHECKOUT, env=sandbox.environment(), stdin=subprocess.DEVNULL, stdout=output,
                stderr=output, check=False, timeout=PATIENCE,
            )  # fmt: skip
        assert done.returncode == 0, (words, said.read_text())
        modules = listed.read_text().split()
        found = [
            name for name in modules for part in ASKED_FOR if f"{name}.".startswith(f"{part}.")
        ]
        assert found == [], words

    called("create", "--bundle", str(made.path), made.name)
    for words in (
        ("start",), ("state",), ("exec", "/bin/true"), ("pause",), ("resume",),
        ("kill", "KILL"), ("delete", "--force"),
    ):  # fmt: skip
        called(words[0], *[word for word in words[1:] if word[0] == "-"], made.name,
               *[word for word in words[1:] if word[0] != "-"])  # fmt: skip
