"""Amounts as people write them: ``32M``, ``1.5g``."""

from __future__ import annotations

UNITS = "bkmgtp"
# Digits of the largest 64-bit number.
LONGEST_NUMBER = 20


def parse_bytes(text: str) -> int | None:
    """``1073741824``, ``1g``, ``1GiB``, ``1.5 gb`` in bytes, in steps of 1024; -1 is no limit; None
    for anything else.
    """
    if text == "-1":
        return -1
    number = text.lower().removesuffix("b").removesuffix("i").rstrip(" ")
    unit = "b"
    if number[-1:] in UNITS:
        number, unit = number[:-1].rstrip(" "), number[-1:]
    whole, dot, fraction = number.partition(".")
    if not is_number(whole) or (dot and not is_number(fraction)):
        return None
    scale: int = 1024 ** UNITS.index(unit)
    count = int(whole) * scale
    return count + int(fraction) * scale // 10 ** len(fraction) if dot else count


def is_number(text: str) -> bool:
    """Whether ``text`` is made of digits, not too many to be a number of bytes."""
    return text.isascii() and text.isdecimal() and len(text) <= LONGEST_NUMBER
