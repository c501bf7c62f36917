"""Names are bytes: no wrapper of the kernel layer stumbles over one that is no UTF-8."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import pytest

from ociruntime.kernel.filesystems import Filesystems
from ociruntime.kernel.kernel import Kernel

if TYPE_CHECKING:
    from ociruntime.kernel.kernel import Argument

NAME = "a\udcffb"
BYTES = b"a\xffb"
VALUES: dict[str, object] = {"int": 3, "bool": True, "bytes": b"x", "list[int]": [1], "float": 1.0}


class Asked(Exception):
    """What a system call was asked for."""


class Listening(Kernel):
    """Makes no call, and keeps the texts of all."""

    def __init__(self) -> None:
        self.texts: list[bytes] = []

    def invoke(self, name: str, *args: Argument) -> int:
        self.texts += [bytes(a) for a in args if isinstance(a, (bytes, bytearray))]
        return 0


class Caught(Kernel):
    """Makes no call, and tells of the first one."""

    def invoke(self, name: str, *args: Argument) -> int:
        raise Asked(name, args)


def wrappers() -> list[str]:
    """The methods that take a text."""
    return sorted(
        name
        for name, method in inspect.getmembers(Kernel, inspect.isfunction)
        if not name.startswith("_")
        and name != "invoke"
        and not hasattr(Filesystems, name)  # a conversation, below
        and "str" in {p.annotation for p in inspect.signature(method).parameters.values()}
    )


def test_there_are_many() -> None:
    assert len(wrappers()) > 15


@pytest.mark.parametrize("name", wrappers())
def test_wrapper(name: str) -> None:
    method = getattr(Caught(), name)
    arguments = {
        parameter.name: NAME if parameter.annotation == "str" else VALUES[parameter.annotation]
        for parameter in inspect.signature(method).parameters.values()
        if parameter.default is parameter.empty or parameter.annotation == "str"
    }
    with pytest.raises(Asked) as asked:
        method(**arguments)
    texts = [bytes(a) for a in asked.value.args[1] if isinstance(a, (bytes, bytearray))]
    named = [key for key, value in arguments.items() if value == NAME]
    assert sum(BYTES in text for text in texts) == len(named)


def test_filesystems() -> None:
    kernel = Listening()
    kernel.new_filesystem(NAME, NAME, [f"{NAME}={NAME}", NAME], 0, [NAME])
    assert kernel.texts == [BYTES, b"source", *[BYTES] * 5]
    kernel = Listening()
    kernel.reconfigure(3, [f"{NAME}={NAME}", NAME])
    assert kernel.texts == [b"", *[BYTES] * 3]
