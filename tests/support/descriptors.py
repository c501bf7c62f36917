"""What this process has open, for tests that nothing is left open."""

from __future__ import annotations

import contextlib
import gc
import os


def open_descriptors() -> list[str]:
    """What the descriptors of this process lead to.

    What earlier tests left to the garbage collector is gone first: it could otherwise go in
    between, and a leak of as many would not be seen.
    """
    gc.collect()
    targets = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # that of the listing itself
            targets.append(os.readlink(f"/proc/self/fd/{name}"))
    return sorted(targets)
