"""The runtimes that ours is measured beside: the newest that can be had."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
OURS = CHECKOUT / ".venv" / "bin" / "ociruntime"
PEERS = ("runc", "crun")
SUITES = ("sid", "trixie")


def newest(name: str) -> str | None:
    """Return the newest peer of that name, as `make conformance-newer` fetches them; the system's
    own where there is none; None where there is that neither, which is said.
    """
    for suite in SUITES:
        path = CHECKOUT / "build" / "newer" / suite / "bin" / f"{name}-{suite}"
        if path.exists():
            return str(path)
    path_found = shutil.which(name)
    if path_found is None:
        print(f"{name} is not installed: left out", file=sys.stderr)
    return path_found


def default_runtimes() -> list[str]:
    """Ours first, then the newest peers, and what the variable RUNTIMES names."""
    found = [str(OURS), *filter(None, map(newest, PEERS))]
    for name in os.environ.get("RUNTIMES", "").split():
        path = shutil.which(name)
        if path is None:
            print(f"{name} is not installed: left out", file=sys.stderr)
        elif path not in found:
            found.append(path)
    return found


def version(runtime: str) -> str:
    """The first line of --version."""
    output = subprocess.run([runtime, "--version"], capture_output=True, text=True, check=True)
    return output.stdout.splitlines()[0]


def versions(runtimes: list[str]) -> str:
    """A Markdown list of what was measured."""
    return "".join(f"- {version(runtime)}\n" for runtime in runtimes)
