"""Times as RFC 3339 text, which Go's engines parse; ``datetime`` and ``time.strftime`` would be
imported for it.
"""

from __future__ import annotations

import time


def rfc3339(nanoseconds: int) -> str:
    """``2026-11-23T20:36:40.123456789Z`` for nanoseconds since the epoch."""
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    moment = time.gmtime(seconds)
    date = f"{moment[0]:04d}-{moment[1]:02d}-{moment[2]:02d}"
    return f"{date}T{moment[3]:02d}:{moment[4]:02d}:{moment[5]:02d}.{fraction:09d}Z"


def now() -> str:
    """The present moment in UTC."""
    return rfc3339(time.time_ns())
