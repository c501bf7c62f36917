"""What tells profiles and compiled programs apart: BLAKE2b, which takes a third of the time of the
interpreter's SHA-256. Ten kilobytes are hashed for each container.
"""

from __future__ import annotations

from _blake2 import blake2b

SIZE = 32


def fingerprint(data: bytes) -> bytes:
    """``SIZE`` bytes."""
    return blake2b(data, digest_size=SIZE).digest()
