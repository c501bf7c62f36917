"""Our JSON text is what the library's own module writes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ociruntime.jsontext import dumps

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner),
)  # fmt: skip


@given(VALUES)
def test_one_line(value: Any) -> None:
    assert dumps(value) == json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@given(VALUES, st.integers(1, 4))
def test_indented(value: Any, indent: int) -> None:
    assert dumps(value, indent) == json.dumps(value, ensure_ascii=False, indent=indent)


@pytest.mark.parametrize("indent", [0, 2])
@pytest.mark.parametrize("value", [{1}, b"x", [object()], {"a": 1j}])
def test_other_types(value: object, indent: int) -> None:
    with pytest.raises(TypeError, match="not JSON: "):
        dumps(value, indent)
