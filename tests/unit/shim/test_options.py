"""Runtime options as TOML: what is read without tomllib means the same."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ociruntime.shim.options import plain

LINES = (
    'Daemon = "namespace"', "SystemdCgroup = true", "IoUid=7", "# a comment", "", "  Root='/x'",
    'Root = "/a b" # why', "[table]", "x.y = 1", 'Root = "a\\tb"', "IoGid = 007", "IoGid = 0",
    "IoGid = 1_000", 'Daemon = "a" "b"', '"Daemon" = "pod"', "Daemon = pod", 'Root = """',
    "SystemdCgroup = false\r", "= 1", 'Root = "\x01"', "\tIoUid\t=\t1\t", "Größe = 1",
)  # fmt: skip


@given(st.lists(st.sampled_from(LINES), max_size=4))
def test_plain_options(lines: list[str]) -> None:
    text = "\n".join(lines)
    found = plain(text)
    if found is not None:
        assert found == tomllib.loads(text)


@given(st.text(alphabet='aD= "\\\n#\t\r1_.[]\x00\x0b\x85é', max_size=12))
def test_any_text(text: str) -> None:
    found = plain(text)
    if found is not None:
        assert found == tomllib.loads(text)


@pytest.mark.parametrize(
    "text", ['Daemon = "namespace"\n', 'SystemdCgroup = true\nRoot = "/run/x"\n', ""]
)
def test_what_engines_send_is_plain(text: str) -> None:
    assert plain(text) == tomllib.loads(text)
