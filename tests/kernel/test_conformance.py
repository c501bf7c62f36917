"""Our conformance suite finds nothing against ours, and finds what is broken on purpose."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.sandbox import Sandbox

CHECKOUT = Path(__file__).resolve().parents[2]
# Runtimes broken by a wrapper: what is changed, the tests that must see it, the sentence.
BROKEN = {
    "never refuses": ('"$REAL" "$@" || true', "operations.start_again", "start.not-created"),
    "forgets the hostname": (
        """for a; do [ -f "$a/config.json" ] && sed -i '/"hostname"/d' "$a/config.json"; done
"$REAL" "$@" """,
        "process.host_and_domain_name",
        "config.hostname",
    ),
    "runs at create": (
        """"$REAL" "$@" || exit; for a; do last=$a; done
case " $* " in *" create "*) "$REAL" --root "$2" start "$last";; esac""",
        "operations.program_runs_at_start",
        "create.args-not-applied",
    ),
    "leaves a process": (
        """case " $* " in *" create "*) sleep 300 </dev/null >/dev/null 2>&1 & esac
"$REAL" "$@" """,
        "operations.operations_exist",
        "delete.resources",
    ),
}


def judge(binary: Path, sandbox: Sandbox, *options: str) -> dict[str, Any]:
    """Run the suite and return its report."""
    out = sandbox.directory / "report.json"
    command = [sys.executable, "-m", "conformance", "--runtime", str(binary), "--format", "json"]
    command += ["--output", str(out), *options]
    done = subprocess.run(command, cwd=CHECKOUT, check=False, stderr=subprocess.PIPE, text=True)
    assert done.returncode in {0, 1}, done.stderr
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def bad(found: dict[str, Any]) -> list[str]:
    """Return what does not hold, one line each."""
    return [
        f"{finding['sentence']}: {finding['saw']} [{finding['test']}]"
        for finding in found["findings"]
        if finding["outcome"] in {"fail", "broken"}
    ]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ours_passes(runtime_binary: Path, sandbox: Sandbox) -> None:
    found = judge(runtime_binary, sandbox, "--jobs", "2", "--scale", "4")
    if runtime_binary.name.startswith("ociruntime"):
        assert bad(found) == []
    assert len(found["findings"]) > 400


@pytest.mark.parametrize("what", BROKEN)
def test_broken_runtime_is_caught(runtime_binary: Path, sandbox: Sandbox, what: str) -> None:
    script, test, sentence = BROKEN[what]
    wrapper = sandbox.directory / "wrapper"
    wrapper.write_text(f"#!/bin/sh\nREAL={runtime_binary}\n{script}\n")
    wrapper.chmod(0o755)
    found = judge(wrapper, sandbox, "--select", test, "--scale", "2")
    failed = {entry["sentence"] for entry in found["findings"] if entry["outcome"] == "fail"}
    assert sentence in failed, found["findings"]
    assert os.path.exists(runtime_binary)
