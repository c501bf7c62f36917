"""The words of errors, of which engines look for some."""

from __future__ import annotations

import errno

import pytest

from ociruntime.errors import LONGEST, OciError, explain_errno


@pytest.mark.parametrize(
    ("number", "detail", "text"),
    [
        (errno.EINVAL, "", "EINVAL: invalid argument"),
        (errno.EINVAL, "gid=5 is not mapped", "EINVAL: gid=5 is not mapped"),
        (errno.ENOENT, "no such setting", "ENOENT: no such setting (no such file or directory)"),
        (errno.EACCES, "not yours", "EACCES: not yours (permission denied)"),
        (errno.EPERM, "Operation not permitted here", "EPERM: Operation not permitted here"),
        (0, "the reason", "the reason"),
    ],
)
def test_words_that_engines_look_for(number: int, detail: str, text: str) -> None:
    assert explain_errno(number, detail) == text


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("no such file", "no such file"),
        ("x\nlevel=error msg=forged", "x level=error msg=forged"),
        ("a\tb\rc", "a b c"),
        ("\x1b[2J", "\\x1b[2J"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        ("caf\xe9", "caf\xe9"),
    ],
)
def test_a_hostile_name_forges_no_line(text: str, line: str) -> None:
    assert str(OciError(text)) == line


def test_a_hostile_name_fills_no_log() -> None:
    line = str(OciError(f"begin {'x' * 100_000} end"))
    assert len(line) < LONGEST
    assert line.startswith("begin x")
    assert line.endswith("x end")
