"""What callers give, checked before anything is asked for: a wrong type or an unknown name is a
``TypeError``, a value that means nothing a ``ValueError``; both say what to write instead.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from ociruntime.errors import UsageError
from ociruntime.lifecycle.kill import parse_signal
from ociruntime.similar import nearest
from ociruntime.spec.amounts import parse_bytes
from ociruntime.spec.schema import root_part
from ociruntime.spec.sentences import unknown_fault
from ociruntime.spec.walk import unknown
from ociruntime.state.ids import check_id

if TYPE_CHECKING:
    from ociruntime.spec.schema import Part

# Microseconds: the period that CPU time is counted in.
CPU_PERIOD = 100_000
# The quota has two digits behind the point of a CPU, and must not be below the kernel's least.
LEAST_CPU_QUOTA = 1000


def words(name: str, given: object) -> list[str]:
    """A command line: a list of strings, and never one string, which would be taken apart."""
    if isinstance(given, (str, bytes)):
        text = os.fsdecode(given)
        raise TypeError(f"{name}: give a list of words, {text.split()!r}, instead of {given!r}")
    if not isinstance(given, Iterable) or isinstance(given, Mapping):
        raise TypeError(f"{name}: give a list of words, not {given!r}")
    found: list[str] = []
    for word in given:
        if not isinstance(word, (str, os.PathLike)):
            raise TypeError(f"{name}: {word!r} is no string")
        found.append(os.fsdecode(word))
    return found


def command(given: object) -> list[str]:
    """``process.args``: a list of words, of which the first is the program."""
    found = words("args", given)
    if not found:
        raise ValueError("args: give at least the program, ['sleep', '1']")
    return found


def timeout(given: object) -> float | None:
    """Seconds that somebody is ready to wait; None is for ever."""
    if given is not None and (isinstance(given, bool) or not isinstance(given, (int, float))):
        raise TypeError(f"timeout: give a number of seconds, or None, not {given!r}")
    return given


def data(given: object) -> bytes:
    """What a process gets to read."""
    if isinstance(given, str):
        raise TypeError(f"data: give bytes, {given.encode()!r}, instead of {given!r}")
    if given is not None and not isinstance(given, (bytes, bytearray, memoryview)):
        raise TypeError(f"data: give bytes, not {given!r}")
    return bytes(given or b"")


def container_id(given: object) -> str:
    """A container's id; one that nobody has for None."""
    if given is None:
        return f"oci-{token_hex(6)}"
    if not isinstance(given, str):
        raise TypeError(f"container_id: give a string, not {given!r}")
    return check_id(given)


def signal_number(given: object) -> int:
    """The number of ``15``, ``signal.SIGTERM``, ``"TERM"``, ``"SIGTERM"`` or ``"RTMIN+3"``."""
    if isinstance(given, bool) or not isinstance(given, (int, str)):
        raise TypeError(f"signal: give a number or a name as TERM, not {given!r}")
    try:
        return parse_signal(given if isinstance(given, str) else str(int(given)))
    except UsageError as error:
        raise ValueError(str(error)) from None


def environment(given: object) -> dict[str, str]:
    """Variables by name."""
    if not isinstance(given, Mapping):
        raise TypeError(f'env: give a mapping, {{"NAME": "value"}}, not {given!r}')
    for name, value in given.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError(f"env: {name!r}: {value!r}: names and values are strings")
        if not name or "=" in name:
            raise ValueError(f"env: {name!r}: a name is not empty and has no =")
    return dict(given)


def user(given: object) -> dict[str, Any]:
    """``process.user`` of a uid, or of a pair of uid and gid."""
    numbers = (given, given) if isinstance(given, int) else given
    if not isinstance(numbers, Sequence) or isinstance(numbers, (str, bytes)):
        raise TypeError(f"user: give a number, or a pair (uid, gid), not {given!r}")
    if len(numbers) != 2 or any(type(number) is not int for number in numbers):
        raise TypeError(f"user: give a number, or a pair (uid, gid), not {given!r}")
    return {"uid": numbers[0], "gid": numbers[1]}


def byte_count(name: str, given: object) -> int:
    """Bytes: a number, or text as ``"32M"``; -1 is no limit."""
    if isinstance(given, bool) or not isinstance(given, (int, str)):
        raise TypeError(f"{name}: give a number of bytes, or text as '32M', not {given!r}")
    count = given if isinstance(given, int) else parse_bytes(given)
    if count is None or count < -1:
        raise ValueError(f"{name}: {given!r}: write bytes, or a number with k, m, g, t or p")
    return count


def limits(
    memory: int | str | None = None, cpus: float | None = None, pids: int | None = None
) -> dict[str, Any]:
    """``linux.resources`` of the limits that people set most; {} for none."""
    found: dict[str, Any] = {}
    if memory is not None:
        found["memory"] = {"limit": byte_count("memory", memory)}
    if cpus is not None:
        if isinstance(cpus, bool) or not isinstance(cpus, (int, float)):
            raise TypeError(f"cpus: give a number, as 1.5, not {cpus!r}")
        quota = round(cpus * CPU_PERIOD)
        if quota < LEAST_CPU_QUOTA:
            raise ValueError(f"cpus: {cpus!r}: give at least {LEAST_CPU_QUOTA / CPU_PERIOD}")
        found["cpu"] = {"period": CPU_PERIOD, "quota": quota}
    if pids is not None:
        if type(pids) is not int:
            raise TypeError(f"pids: give a number of processes, -1 for any, not {pids!r}")
        found["pids"] = {"limit": pids}
    return found


def mapping(name: str, given: object) -> dict[str, Any]:
    """Part of a configuration."""
    if not isinstance(given, Mapping):
        raise TypeError(f"{name}: give a mapping, as config.json has it, not {given!r}")
    return dict(given)


def check_keywords(function: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raise ``TypeError`` for a keyword that ``function`` does not know."""
    names = list(known)
    for name in given:
        if name not in names:
            meant = nearest(name, names)
            cure = f"did you mean {meant}?" if meant else f"there are {', '.join(names)}"
            raise TypeError(f"{function}: unknown keyword {name}; {cure}")


def check_names(name: str, document: object, kind: str) -> None:
    """Raise ``TypeError`` for a property that the specification does not know in a document of
    ``kind``: a program that writes one means another.
    """
    part = _part(kind)
    for path in unknown(part, document):
        fault = unknown_fault(part, path)
        raise TypeError(f"{name}: {fault.pointer} is no property; {fault.cure}")


@cache
def _part(kind: str) -> Part:
    return root_part(kind)
