"""Checkpoints in tests, and the CRIU that they use: that of `make newer-criu`, else the system's
own if it works here.
"""

from __future__ import annotations

import functools
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ociruntime.checkpoint.program import Criu
from tests.support.patience import PATIENCE

if TYPE_CHECKING:
    from tests.support.bundle import Bundle
    from tests.support.runtime import Result, Runtime

NEWER = Path(__file__).resolve().parents[2] / "build" / "newer" / "sid" / "bin" / "criu"


@functools.cache
def criu() -> Path:
    """Its path; skips the test, by name, where there is none that works on this kernel."""
    found = [NEWER] if NEWER.exists() else []
    own = shutil.which("criu")
    found += [Path(own)] if own else []
    why = "no CRIU here: run `make newer-criu`, or install it"
    for path in found:
        done = subprocess.run([path, "check"], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return path
        why = f"{path} check: {done.stderr.strip()[-200:]}"
    pytest.skip(why)


def keeps_no_new_privs() -> bool:
    """Whether processes have it again when this CRIU has restored them (3.18)."""
    return Criu(str(criu())).version >= (3, 18, 0)


# Its memory, and not a file, has where it is.
COUNTING = "i=0; while :; do i=$((i+1)); echo $i >/tmp/count; sleep 0.02; done"


def count(host: Runtime, container: str, above: int = -1) -> int:
    """How far a container that runs COUNTING has counted, once that is more than ``above``."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        text = host.exec(container, "cat", "/tmp/count").stdout.strip()
        if text and int(text) > above:
            return int(text)
    raise AssertionError(f"{container} does not count beyond {above}")


def checkpoint(host: Runtime, container: str, images: Path, *options: str, **how: Any) -> Result:
    """`checkpoint --image-path IMAGES OPTIONS ID`."""
    words = ("checkpoint", "--image-path", str(images), *options, container)
    return host.call(*words, container=container, **how)


def restore(host: Runtime, made: Bundle, images: Path, *options: str, **how: Any) -> Result:
    """`restore --detach` under a new id; writes the bundle's config.json first."""
    name = host.sandbox.new_id()
    words = ["restore", "--detach", "--image-path", str(images), "--bundle", str(made.write().path)]
    done = host.call(*words, *options, name, container=name, **how)
    (host.created if done.ok else host.failed).append(name)
    return done
