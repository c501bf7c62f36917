"""The runtimes that ours is compared with: the newest runc and crun that run on this machine.

`make conformance-newer` fetches those of Debian's newer releases; the system's own are what is left
without them, and of those only what they refuse is compared. With one peer alone nothing is
compared: what one does may be its own fault, and only what both agree on is what the field takes
for granted.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from tests.field.case import Case
from tests.field.play import Play, SilentError
from tests.support.patience import PATIENCE

CHECKOUT = Path(__file__).resolve().parents[2]
SOURCES = sorted(Path(__file__).parent.glob("look*.c"))
SUITES = ("sid", "trixie")


class NoPeersError(Exception):
    """There are not two peers that run here; says which is missing and why."""


def candidates(name: str) -> list[Path]:
    """Return where a peer may be, the newest first."""
    newer = [CHECKOUT / "build" / "newer" / suite / "bin" / f"{name}-{suite}" for suite in SUITES]
    own = shutil.which(name, path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    return [path for path in newer if path.exists()] + ([Path(own)] if own else [])


def are_newest(peers: Sequence[Path]) -> bool:
    """Tell whether these are those whose ways we follow, and no older ones."""
    return all(peer.name.endswith(f"-{SUITES[0]}") for peer in peers)


def build_look(directory: Path) -> Path:
    """Compile the probe into a directory, where it is not yet; raises CalledProcessError."""
    program = directory / "look"
    if not program.exists():
        with tempfile.TemporaryDirectory(dir=directory) as made:
            partial = Path(made, "look")
            command = ["cc", "-static", "-O1", "-Wall", "-Wextra", "-o", str(partial)]
            subprocess.run([*command, *map(str, SOURCES)], check=True, timeout=2 * PATIENCE)
            partial.rename(program)
    return program


@cache
def find_peers(look: Path) -> tuple[Path, Path]:
    """Return the runc and the crun to compare with, each proven by a container.

    Raises NoPeersError.
    """
    found = []
    for name in ("runc", "crun"):
        reasons = []
        for binary in candidates(name):
            if reason := _refusal(binary, look):
                reasons.append(f"{binary.name}: {reason}")
            else:
                found.append(binary)
                break
        else:
            what = "; ".join(reasons) or "not installed, and no `make conformance-newer` was run"
            raise NoPeersError(f"no {name} to compare with: {what}")
    return found[0], found[1]


def _refusal(binary: Path, look: Path) -> str | None:
    """Return why a peer cannot run the simplest case here, None if it can."""
    play = Play(Case.of(), binary, look)
    try:
        seen = play.run()
    except (SilentError, OSError) as error:
        return str(error)[:200]
    refused = [name for name, how in seen["calls"].items() if how != "done"]
    return next((line for line in play.said if ": 0 " not in line), "") if refused else None
