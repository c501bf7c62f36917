"""Container ids."""

from __future__ import annotations

from ociruntime.errors import UsageError

ALPHABET = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+-.")
# The id is the name of a directory (NAME_MAX).
LONGEST = 255


def check_id(text: str) -> str:
    """``text`` if it is an id, else ``UsageError``: letters, digits, ``_ + - .``, not starting with
    a dot.
    """
    if not text:
        raise UsageError("container id must not be empty")
    if len(text) > LONGEST:
        raise UsageError(
            f"invalid id format: {len(text)} characters; at most {LONGEST} are allowed"
        )
    if text[0] == "." or not ALPHABET.issuperset(text):
        shown = ascii(text)
        raise UsageError(
            f"invalid id format: {shown}; use letters, digits and _ + - . and no leading dot"
        )
    return text
