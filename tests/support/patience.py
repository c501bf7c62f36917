"""How long tests wait before they say that something hangs.

A guard and no measure: no test may depend on how fast a machine is, and a loaded one is slow. What
passes waits for its condition and never this long. pytest's own limit of a test (pyproject.toml) is
longer than one of these.
"""

from __future__ import annotations

import os

# An emulated machine (tests/vm) is slower by the factor.
FACTOR = float(os.environ.get("OCIRT_TIME_FACTOR", "1"))
# Seconds.
PATIENCE = 90.0 * FACTOR
