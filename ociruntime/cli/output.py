"""Standard output of the commands."""

from __future__ import annotations

from ociruntime import hostos as os
from ociruntime.errors import OciError, explain_errno


def say(text: bytes) -> None:
    """Write all of ``text``; raises ``OciError`` where standard output is full, closed or gone."""
    try:
        while text:
            text = text[os.write(1, text) :]
    except OSError as error:
        reason = explain_errno(error.errno or 0)
        raise OciError(f"standard output: {reason}") from None
