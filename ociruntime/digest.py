"""SHA-256 from the interpreter's own module: ``import hashlib`` loads OpenSSL (8 ms)."""

from __future__ import annotations

try:
    from _sha256 import sha256  # type: ignore[import-not-found]
except ImportError:  # Python 3.12 has one module for all of SHA-2
    from _sha2 import sha256  # type: ignore[import-not-found]


def digest(data: bytes) -> bytes:
    """The 32 bytes."""
    return bytes(sha256(data).digest())
