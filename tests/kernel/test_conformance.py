"""Our conformance suite finds nothing against ours, and finds what is broken on purpose."""

from __future__ import annotations

import glob
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from conformance.host import Host
from conformance.registry import select
from tests.support.runtime import TIMEOUT
from tests.support.sandbox import Sandbox

# So that no worker is the last one with all of it.
PARTS = 12
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
# What a broken runtime does not look at, the test that must see it, the sentence.
IGNORED = {
    "/linux/seccomp": ("seccomp.action*ERRNO*", "seccomp.act-ERRNO"),
    "/linux/resources": ("resources.value*pids.limit*", "pids.limit"),
    "/linux/maskedPaths": ("linux.masked_paths", "masked.file"),
    "/linux/devices": ("devices.device_files", "devices.char"),
    "/process/rlimits": ("process.resource_limits", "rlimits.soft"),
    "/process/noNewPrivileges": ("process.no_new_privileges", "process.no-new-privileges"),
    "/hooks/poststop": ("hooks.life*poststop*", "lifecycle.poststop-invoked"),
    "/root/readonly": ("mounts.writing_to_the_root", "root.readonly"),
}
EDITOR = """\
import json, os, sys
pointer, real, *words = sys.argv[1:]
*above, last = pointer.strip("/").split("/")
if "create" in words:
    path = words[words.index("--bundle") + 1] + "/config.json"
    config = place = json.load(open(path))
    for name in above:
        place = place.get(name, {})
    place.pop(last, None)
    json.dump(config, open(path, "w"))
os.execv(real, [real, *words])
"""


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


@pytest.mark.parametrize("part", range(PARTS))
def test_ours_passes(runtime_binary: Path, sandbox: Sandbox, part: int) -> None:
    names = [entry.name for entry in select(())[part::PARTS]]
    words = [word for name in names for word in ("--select", glob.escape(name))]
    found = judge(runtime_binary, sandbox, "--scale", "4", "--jobs", "1", *words)
    if runtime_binary.name.startswith("ociruntime"):
        assert bad(found) == []
    assert {finding["test"] for finding in found["findings"]} == set(names)


def test_interrupted(runtime_binary: Path, sandbox: Sandbox) -> None:
    # Each test's directory carries the suite's pid.
    command = [sys.executable, "-m", "conformance", "--runtime", str(runtime_binary)]
    options = ["--jobs", "2", "--scale", "4", "--select", "operations.*"]
    env = {**os.environ, "TMPDIR": str(sandbox.directory)}
    with subprocess.Popen(
        [*command, *options], cwd=CHECKOUT, env=env, stderr=subprocess.PIPE, text=True
    ) as suite:
        while suite.poll() is None and not list(sandbox.directory.glob("oci-conf-*/state/*")):
            time.sleep(0.01)
        suite.terminate()
        _, said = suite.communicate(timeout=9 * TIMEOUT)
    assert (suite.returncode, said) == (130, "conformance: interrupted\n")
    assert not list(sandbox.directory.glob("oci-conf-*"))
    prefix = f"oci-conf-{suite.pid}-"
    cgroups = [name for _, names, _ in os.walk("/sys/fs/cgroup") for name in names]
    assert not [name for name in cgroups if name.startswith(prefix)]


def test_what_a_killed_run_left(runtime_binary: Path, sandbox: Sandbox) -> None:
    """Its empty cgroup goes with the next run; that of a run which goes on stays."""
    root = Host(Path()).controller("pids")
    assert root
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    dead, alive = (root / f"oci-conformance-{pid}" for pid in (gone.pid, os.getpid()))
    try:
        dead.mkdir()
        alive.mkdir()
        judge(runtime_binary, sandbox, "--select", "query.no-id", "--scale", "2")
        assert (dead.exists(), alive.exists()) == (False, True)
    finally:
        for path in (dead, alive):
            if path.exists():
                path.rmdir()


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


@pytest.mark.parametrize("pointer", IGNORED)
def test_ignored_property_is_caught(runtime_binary: Path, sandbox: Sandbox, pointer: str) -> None:
    test, sentence = IGNORED[pointer]
    editor, wrapper = sandbox.directory / "editor.py", sandbox.directory / "wrapper"
    editor.write_text(EDITOR)
    wrapper.write_text(
        f'#!/bin/sh\nexec {sys.executable} -S {editor} {pointer} {runtime_binary} "$@"\n'
    )
    wrapper.chmod(0o755)
    found = judge(wrapper, sandbox, "--select", test, "--scale", "2")
    failed = {entry["sentence"] for entry in found["findings"] if entry["outcome"] == "fail"}
    assert sentence in failed, found["findings"]
