"""Whether a scenario runs with the engine's own runtime, too: whose doing a difference is.

`make engines-test` has that; at each `make test` it would double the time of all engines.
"""

from __future__ import annotations

import os


def with_own(own: str, *ours: str) -> tuple[str, ...]:
    """The runtimes that a scenario runs with: ``ours``, and with OCIRT_COMPARE the engine's."""
    return (own, *ours) if os.environ.get("OCIRT_COMPARE") else ours
