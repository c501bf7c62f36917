"""Files that collect what hooks print: annotations run.oci.hooks.stdout, run.oci.hooks.stderr."""

from __future__ import annotations

from ociruntime import hostos as os
from ociruntime.errors import HookError

STDOUT, STDERR = "run.oci.hooks.stdout", "run.oci.hooks.stderr"
ANNOTATIONS = (STDOUT, STDERR)
NONE = (-1, -1)


def open_outputs(annotations: dict[str, str] | None) -> tuple[int, int]:
    """(stdout, stderr) as descriptors to append to, -1 where the hook's output is kept for errors.

    The files are the host's: to be opened before anything of the container is entered. Raises
    ``HookError`` naming the annotation.
    """
    fds: list[int] = []
    for name in ANNOTATIONS:
        path = (annotations or {}).get(name)
        try:
            fds.append(_open(path) if path else -1)
        except OSError as error:
            close_outputs((fds[0] if fds else -1, -1))
            raise HookError(f"annotation {name}: {path}: {error.strerror}") from None
    return fds[0], fds[1]


def _open(path: str) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOCTTY
    return os.open(path, flags, 0o600)


def close_outputs(fds: tuple[int, int]) -> None:
    """Close what ``open_outputs`` opened."""
    for fd in fds:
        if fd >= 0:
            os.close(fd)
