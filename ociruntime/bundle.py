"""The bundle directory and the JSON files that come with it (bundle.md, config.md).

What is guaranteed about a document returned by ``parse`` and ``BundleDirectory.read_config``: at
most 16 MiB and 64 levels, UTF-8 without byte order mark, no duplicate keys, no NaN and no infinity,
every integer within 64 bits, no fraction too large to be exact, and no string or key with U+0000
(system calls would see a shorter string than our checks) or a lone surrogate (which no path can
carry). A number written as 1.0 or 1e3 is a fraction and no integer, as every other runtime reads
it.

``parse_settings`` gives, in addition, no member that is null: Go writes a pointer that is not set
as null, and reads null as "not set".  So a property that is null is one that is not there, for the
schema, the rules and the plan alike.  An entry of an array that is null stays, and is a fault.

Everything is read once: later changes of the file have no effect (runtime.md, "Create").
"""

from __future__ import annotations

import _json
import errno

from ociruntime import hostos as os
from ociruntime.errors import SpecError
from ociruntime.jsontext import (
    DEPTH_LIMIT,
    EXACT_FLOAT_LIMIT,
    INTEGER_MAX,
    INTEGER_MIN,
    is_bad_string,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn, Self

SIZE_LIMIT = 16 * 1024 * 1024
# Bytes that are read at once where nobody knows how many there are.
PIECE = 65536

_WHITESPACE = " \t\n\r"
_NEITHER_BRACKETS_NOR_QUOTES = bytes(set(range(256)) - set(b'[]{}"'))


class RefusedError(Exception):
    """Raised inside the fast parser; the slow one then finds out what and where."""


class BundleDirectory:
    """An open bundle directory.

    ``fd`` is an O_PATH descriptor that belongs to this object, ``path`` the real path that
    ``state`` reports.  Use as a context manager, or call ``close``.
    """

    __slots__ = ("fd", "path")

    def __init__(self, fd: int, path: str) -> None:
        self.fd = fd
        self.path = path

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the descriptor; a second call does nothing."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def read_config(self, name: str = "config.json") -> tuple[bytes, Any]:
        """Read and parse the configuration; ``name`` may be absolute, else it is below the bundle.

        Returns the file's bytes and the document, which is a JSON object.  Raises SpecError.
        """
        raw = read_file(name, dir_fd=self.fd, where=f"bundle {self.path}: {name}", absent=NO_CONFIG)
        return raw, parse_settings(raw, os.path.join(self.path, name))


def open_bundle(path: str) -> BundleDirectory:
    """Open the bundle directory ``path``; raises SpecError if it is missing or no directory."""
    where = f"bundle {path}"
    try:
        fd = os.open(path or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return BundleDirectory(fd, os.readlink(f"/proc/self/fd/{fd}"))
        except OSError:
            os.close(fd)
            raise
    except OSError as error:
        hint = _BUNDLE_HINTS.get(error.errno or 0, "give the bundle's directory with --bundle")
        raise SpecError(f"{where}: {error.strerror}; {hint}", hint=hint) from None
    except ValueError:
        raise SpecError(f"bundle {path!r}: the path has a NUL character") from None


_BUNDLE_HINTS = {
    errno.ENOTDIR: "a bundle is a directory that holds config.json",
    errno.ENOENT: "give the bundle's directory with --bundle, or make it there first",
    errno.EACCES: "the caller may not enter it",
}

NO_CONFIG = "make one with `ociruntime spec`, or name its place with --bundle or --config"
_FILE_HINTS = {
    errno.EACCES: "the caller may not read it",
    errno.ENOTDIR: "a part of its path is a file",
}


def read_file(
    path: str,
    *,
    dir_fd: int | None = None,
    where: str = "",
    absent: str = "correct its path",
    pipes: bool = False,
) -> bytes:
    """The bytes of the regular file ``path``, at most SIZE_LIMIT; never hangs on a FIFO or device.

    ``where`` names the file in errors, ``absent`` is the cure when there is none. With ``pipes`` a
    pipe or FIFO will do as well, and is waited for. Raises SpecError.
    """
    where = where or path
    # O_NONBLOCK: open(2) of a FIFO would wait for a writer.
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    try:
        fd = os.open(path, flags, dir_fd=dir_fd)
    except OSError as error:
        hint = _FILE_HINTS.get(error.errno or 0, "it must be a readable regular file")
        if error.errno == errno.ENOENT:
            hint = absent
        raise SpecError(f"{where}: {error.strerror}; {hint}", hint=hint) from None
    except ValueError:
        raise SpecError(f"{where!r}: the path has a NUL character") from None
    try:
        status = os.fstat(fd)
        if pipes and os.is_fifo(status.st_mode):
            await_writer(fd)
        elif not os.is_regular(status.st_mode):
            hint = "name a file of JSON text"
            raise SpecError(f"{where}: not a regular file; {hint}", hint=hint)
        return read_all(fd, where, status.st_size)
    except OSError as error:
        raise SpecError(f"{where}: {error.strerror}") from None
    finally:
        os.close(fd)


def await_writer(fd: int) -> None:
    """Let what is read from a FIFO, opened O_NONBLOCK, end with its writer and not before there is
    one.
    """
    from select import POLLIN, poll

    # POLLHUP comes for a writer that has gone, not for one that was never there (fifo(7)).
    poller = poll()
    poller.register(fd, POLLIN)
    poller.poll()
    os.set_blocking(fd, True)


def read_all(fd: int, where: str, expected: int = 0) -> bytes:
    """Read ``fd`` to its end; raises SpecError beyond SIZE_LIMIT, OSError as read(2) does.

    ``expected`` is how many bytes there may be: a buffer larger than needed is mapped and unmapped.
    """
    chunks: list[bytes] = []
    total = 0
    piece = min(max(expected + 1, PIECE), SIZE_LIMIT)
    while chunk := os.read(fd, piece):
        chunks.append(chunk)
        total += len(chunk)
        if total > SIZE_LIMIT:
            raise SpecError(f"{where}: larger than the limit of {SIZE_LIMIT >> 20} MiB")
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def parse_object(raw: bytes, source: str, *, names: bool = False) -> dict[str, Any]:
    """``parse``, and the document must be a JSON object."""
    return _object_of(parse(raw, source, names=names), source)


def parse_settings(raw: bytes, source: str) -> Any:
    """``parse_object`` for what people and engines ask for (a config, a process, resources, the
    configuration of a network): members that are null are left out.
    """
    return _object_of(parse(raw, source, null=False), source)


def _object_of(document: Any, source: str) -> dict[str, Any]:
    if type(document) is not dict:
        raise SpecError(f"{source}:1:1: the document is not a JSON object; it must begin with '{{'")
    return document


def parse(raw: bytes, source: str, *, null: bool = True, names: bool = False) -> Any:
    """Parse JSON text under the guarantees of this module.

    ``source`` names the text in errors, which read ``SOURCE:LINE:COLUMN: what; cure``. Without
    ``null``, members that are null are left out. With ``names`` it is one that we wrote, whose
    strings are names of files, of whatever bytes. Raises SpecError.
    """
    try:
        text = os.fsdecode(raw) if names else raw.decode("utf-8")
        start = len(text) - len(text.lstrip(_WHITESPACE))
        document, end = (_scan if null else _scan_settings)(text, start)
        good = end == len(text) or not text[end:].strip(_WHITESPACE)
        # Text has been decoded strictly and control characters are refused by the scanner, so only
        # an escape sequence can bring a NUL or half a surrogate pair into a string.
        good = good and (names or not ("\\u" in text and _has_bad_string(document)))
        good = good and (_is_flat(raw) or not _is_deep(document))
    except (RefusedError, ValueError, StopIteration, RecursionError, SystemError):
        # SystemError: up to Python 3.11 the scanner can name a fault only where json.decoder
        # happens to be imported already, and returns without an exception elsewhere.
        good = False
    if not good:
        _refuse(raw, source)
    return document


def _refuse(raw: bytes, source: str) -> NoReturn:
    from ociruntime.jsonplaces import find_fault

    line, column, message = find_fault(raw)
    raise SpecError(f"{source}:{line}:{column}: {message}")


def _has_bad_string(document: Any) -> bool:
    todo = [document]
    while todo:
        value = todo.pop()
        if type(value) is str:
            if is_bad_string(value):
                return True
        elif type(value) is list:
            todo += value
        elif type(value) is dict:
            todo += value
            todo += value.values()
    return False


def _is_flat(raw: bytes) -> bool:
    """Whether the brackets of ``raw``, which is JSON, show that it has few levels; most texts' do.

    Those in strings do not count: they would close others.
    """
    if b"\\" in raw:
        raw = raw.replace(b"\\\\", b"").replace(b'\\"', b"")
    # A string without brackets is two quotes by now, and then nothing.
    brackets = raw.translate(None, _NEITHER_BRACKETS_NOR_QUOTES).replace(b'""', b"")
    if b'"' in brackets:
        brackets = b"".join(brackets.split(b'"')[::2])
    for _ in range(DEPTH_LIMIT // 2):  # each removes at most two
        if not brackets:
            return True
        brackets = brackets.replace(b"{}", b"").replace(b"[]", b"")
    return not brackets


def _is_deep(document: Any) -> bool:
    level = [document] if type(document) is dict or type(document) is list else []
    for _ in range(DEPTH_LIMIT):
        if not level:
            return False
        below: list[Any] = []
        for container in level:
            values = container.values() if type(container) is dict else container
            below += [value for value in values if type(value) is dict or type(value) is list]
        level = below
    return bool(level)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise RefusedError
    return result


def _settings(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise RefusedError
    if None in result.values():
        return {key: value for key, value in pairs if value is not None}
    return result


def _integer(digits: str) -> int:
    if len(digits) > 20:
        raise RefusedError
    value = int(digits)
    if not INTEGER_MIN <= value <= INTEGER_MAX:
        raise RefusedError
    return value


def _fraction(digits: str) -> float:
    value = float(digits)
    if not -EXACT_FLOAT_LIMIT < value < EXACT_FLOAT_LIMIT:
        raise RefusedError
    return value


def _constant(_name: str) -> NoReturn:
    raise RefusedError


class _Context:
    """What the C scanner reads its settings from (the attributes of json.JSONDecoder)."""

    strict = True
    object_hook = None
    object_pairs_hook = staticmethod(_object)
    parse_int = staticmethod(_integer)
    parse_float = staticmethod(_fraction)
    parse_constant = staticmethod(_constant)


class _SettingsContext(_Context):
    object_pairs_hook = staticmethod(_settings)


# The standard library's own scanner, without the 6 ms that importing json costs.
_scan = _json.make_scanner(_Context())  # type: ignore[arg-type]  # the stub asks for a scanner here
_scan_settings = _json.make_scanner(_SettingsContext())  # type: ignore[arg-type]
