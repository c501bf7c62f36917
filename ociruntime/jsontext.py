"""JSON text from Python values, without the 6 ms that ``import json`` costs, and what we take for
JSON text from others (``bundle.parse``).
"""

from __future__ import annotations

from _json import encode_basestring, make_encoder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


DEPTH_LIMIT = 64
INTEGER_MIN = -(2**63)
INTEGER_MAX = 2**64 - 1
EXACT_FLOAT_LIMIT = 2**53


def is_bad_string(text: str) -> bool:
    """True if ``text`` has U+0000 or a lone surrogate."""
    if text.isascii():
        return "\0" in text
    return "\0" in text or any(0xD800 <= ord(char) <= 0xDFFF for char in text)


def token(key: str) -> str:
    """A key as a reference token of a JSON pointer (RFC 6901, section 3)."""
    return key.replace("~", "~0").replace("/", "~1")


def dumps(value: object, indent: int = 0) -> str:
    """``value`` (dict, list, tuple, str, int, float, bool, None) as JSON.

    Parameters: ``indent`` is the number of spaces a level, 0 for one line. Raises ``TypeError`` for
    other types.
    """
    return _encode(value, indent, "") if indent else "".join(_on_one_line(value, 0))


def to_bytes(value: object, indent: int = 0) -> bytes:
    """``dumps`` in UTF-8 for others to read. What a name has that is no UTF-8 becomes an escape, so
    that it is JSON in any case.
    """
    return dumps(value, indent).encode("utf-8", "backslashreplace")


def _refuse(value: object) -> NoReturn:
    raise TypeError(f"not JSON: {type(value).__name__}")


# The library's own encoder, as json.JSONEncoder calls it: markers of what is being encoded,
# default, strings, indent, separators, then sort_keys, skipkeys and allow_nan.
_on_one_line = make_encoder(None, _refuse, encode_basestring, None, ":", ",", False, False, True)  # noqa: FBT003


def _encode(value: object, indent: int, margin: str) -> str:
    if isinstance(value, str):
        return encode_basestring(value)
    if value is None:
        return "null"
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    inner = margin + " " * indent
    if isinstance(value, dict):
        items = [
            f"{encode_basestring(str(key))}: {_encode(item, indent, inner)}"
            for key, item in value.items()
        ]
        return _wrap("{", items, "}", margin, inner)
    if isinstance(value, (list, tuple)):
        return _wrap("[", [_encode(item, indent, inner) for item in value], "]", margin, inner)
    _refuse(value)


def _wrap(start: str, items: list[str], end: str, margin: str, inner: str) -> str:
    if not items:
        return start + end
    return f"{start}\n{inner}" + f",\n{inner}".join(items) + f"\n{margin}{end}"
