"""JSON text from Python values, without the 6 ms that ``import json`` costs."""

from __future__ import annotations

from _json import encode_basestring


def dumps(value: object, indent: int = 0) -> str:
    """``value`` (dict, list, tuple, str, int, float, bool, None) as JSON.

    Parameters: ``indent`` is the number of spaces a level, 0 for one line. Raises ``TypeError`` for
    other types.
    """
    return _encode(value, indent, "")


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
        colon = ": " if indent else ":"
        items = [
            f"{encode_basestring(str(key))}{colon}{_encode(item, indent, inner)}"
            for key, item in value.items()
        ]
        return _wrap("{", items, "}", indent, margin)
    if isinstance(value, (list, tuple)):
        return _wrap("[", [_encode(item, indent, inner) for item in value], "]", indent, margin)
    raise TypeError(f"not JSON: {type(value).__name__}")


def _wrap(start: str, items: list[str], end: str, indent: int, margin: str) -> str:
    if not items or not indent:
        return start + ",".join(items) + end
    inner = "\n" + margin + " " * indent
    return start + inner + ("," + inner).join(items) + "\n" + margin + end
