"""What the conformance suite judges of resctrl: a directory plays it, as no processor here has it.

A runtime that does all that the specification says passes; each thing done wrong is found.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.fake_resctrl import FAULTS
from tests.support.sandbox import Sandbox

CHECKOUT = Path(__file__).resolve().parents[2]


# How much slower than others the machine may be; what a fault leads to may have to be waited for.
SCALE = "2"


def judge(binary: Path, sandbox: Sandbox, fault: str, select: list[str]) -> dict[str, str]:
    """Run the suite on a runtime with a fault; return the worst outcome by sentence."""
    root, wrapper = sandbox.directory / "resctrl", sandbox.directory / "wrapper"
    root.mkdir()
    fake = f"{sys.executable} -m tests.support.fake_resctrl"
    wrapper.write_text(
        f"#!/bin/sh\nPYTHONPATH={CHECKOUT} exec {fake} runtime {root} '{fault}' {binary} \"$@\"\n"
    )
    wrapper.chmod(0o755)
    out = sandbox.directory / "report.json"
    command = [*fake.split(), "suite", str(root), "--runtime", str(wrapper), "--format", "json"]
    command += ["--output", str(out), "--scale", SCALE, *select]
    done = subprocess.run(command, cwd=CHECKOUT, check=False, stderr=subprocess.PIPE, text=True)
    assert done.returncode in {0, 1}, done.stderr
    found: dict[str, str] = {}
    for finding in json.loads(out.read_text())["findings"]:
        if found.get(finding["sentence"]) in {None, "pass"}:
            found[finding["sentence"]] = finding["outcome"]
    return found


def test_nothing_is_found(runtime_binary: Path, sandbox: Sandbox) -> None:
    found = judge(runtime_binary, sandbox, "", ["--select", "rdt.*"])
    assert found.pop("rdt.no-resctrl") == "skip"
    assert {sentence: outcome for sentence, outcome in found.items() if outcome != "pass"} == {}
    assert set().union(*FAULTS.values()) <= found.keys()


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_found(runtime_binary: Path, sandbox: Sandbox, fault: str) -> None:
    select = [word for sentence in FAULTS[fault] for word in ("--select", sentence)]
    found = judge(runtime_binary, sandbox, fault, select)
    assert {sentence: found[sentence] for sentence in FAULTS[fault]} == dict.fromkeys(
        FAULTS[fault], "fail"
    )
