"""The first example of docs/networking.md, word by word, on a host of its own."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.support.pages import DOCS, block
from tests.support.patience import PATIENCE
from tests.support.sandbox import Sandbox

# Another network, and a /run that nobody else has.
HOST = (
    "ip link set lo up && mount -t tmpfs tmpfs /run && echo 1 >/proc/sys/net/ipv4/ip_forward &&"
    ' exec sh -eu -c "$1"'
)
CLEAN = ".venv/bin/ociruntime delete --force net-bridge"


def test_in_two_minutes(sandbox: Sandbox, runtime_binary: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("not installed: curl")
    if shutil.which("nft") is None and shutil.which("iptables") is None:
        pytest.skip("not installed: nft, iptables")
    build, *lines = block("networking.md", "make build").splitlines()
    assert build == "make build", "done by who runs the tests"
    typed, shown = lines[: lines.index("")], lines[lines.index("") + 1 :]
    more = block("networking.md", "ociruntime net ls").splitlines()
    typable = [line for line in more if not {"[", "|"} & set(line)]
    forms = [line.partition("#")[0].rstrip() for line in typable]
    assert forms == ["ociruntime net ls", "ociruntime net check", "ociruntime net gc"]
    programs = sandbox.directory / "bin"
    programs.mkdir()
    (programs / "sudo").write_text('#!/bin/sh\nexec "$@"\n')
    (programs / "ociruntime").symlink_to(runtime_binary)
    (programs / "sudo").chmod(0o755)
    # Whoever answers begins to listen a moment after `run --detach` has returned.
    patient = "curl -sS --retry 60 --retry-delay 1 --retry-all-errors"
    text = "\n".join([*typed, "echo ---", *forms, CLEAN])
    text = text.replace(".venv/bin/ociruntime", str(runtime_binary)).replace("curl", patient)
    text = text.replace("/tmp/web", str(sandbox.directory / "web"))
    # The example names its container: one of that name on the machine at a time.
    with (Path(tempfile.gettempdir()) / "ocirt-net-bridge.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(
            ["unshare", "-n", "-m", "sh", "-c", HOST, "sh", text],
            cwd=DOCS.parent, capture_output=True, text=True, timeout=2 * PATIENCE, check=False,
            stdin=subprocess.DEVNULL,
            env={**sandbox.environment(), "PATH": f"{programs}:{os.environ['PATH']}"},
        )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    said = [line.split() for line in done.stdout.splitlines()]
    answer = next(line for line in typed if line.startswith("curl")).partition("# ")[2]
    assert answer.split() in said
    for line in shown:
        assert line.split() in said[: said.index(["---"])], line
