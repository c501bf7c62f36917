"""Descriptors that the caller hands to the container."""

from __future__ import annotations

from ociruntime import hostos as os
from ociruntime.errors import UsageError


def check_preserved(count: int) -> None:
    """--preserve-fds names descriptors that exist; otherwise one of ours could take such a
    number.
    """
    for fd in range(3, 3 + count):
        try:
            os.fstat(fd)
        except OSError:
            raise UsageError(
                f"--preserve-fds {count}: descriptor {fd} is not open; pass "
                f"descriptors 3 to {2 + count}"
            ) from None
