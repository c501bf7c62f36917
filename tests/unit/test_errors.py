"""The words of errors, of which engines look for some."""

from __future__ import annotations

import errno

import pytest

from ociruntime.errors import explain_errno


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
