"""oci-setup on the recorder: making what is missing (tests/support/emulator.py)."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from ociruntime.kernel import constants as c
from ociruntime.kernel import program as p
from ociruntime.kernel.inroot import SYMLINKS_MAX, components, open_inside
from tests.support.model.files import refusal
from tests.support.model.recorder import Recorder

DIRECTORY = c.O_PATH | c.O_DIRECTORY


class Places:
    """What native/resolve.c does; ``put`` appends a record to the answer."""

    recorder: Recorder

    def put(self, kind: int, number: int, value: int = 0, text: bytes = b"") -> None:
        raise NotImplementedError

    def _tell(self, parent: int, name: str, path: str, *, directory: bool) -> None:
        try:
            stat = self.recorder.stat(parent, name)
        except OSError:
            self.recorder.unlinkat(parent, name, c.AT_REMOVEDIR if directory else 0)
            raise
        text = p.MADE.pack(*stat.device) + os.fsencode(path)
        self.put(p.RECORD_MADE, int(directory), stat.ino, text)

    def _make(
        self,
        root: int,
        parts: list[str],
        make: Callable[[int, str, str], int] | None,
        mode: int,
        *,
        follow: bool = True,
    ) -> int:
        for _ in range(SYMLINKS_MAX):
            here, done = self._longest_prefix(root, parts)
            if ".." in parts[done:]:
                self.recorder.close(here)
                missing = parts[done:]
                at = missing.index("..")
                parts = parts[:done] + missing[: at - 1] + missing[at + 1 :]
                continue
            at, found = self._make_below(here, parts, done, make, mode)
            if isinstance(found, int):
                return found
            if not follow:
                break
            before = [] if found.startswith("/") else parts[:at]
            parts = before + components(found) + parts[at + 1 :]
        raise refusal(errno.ELOOP)

    def _make_below(
        self,
        here: int,
        parts: list[str],
        done: int,
        make: Callable[[int, str, str], int] | None,
        mode: int,
    ) -> tuple[int, int | str]:
        recorder = self.recorder
        at = done
        try:
            for at in range(done, len(parts)):
                name, last = parts[at], at == len(parts) - 1
                try:
                    if last and make is not None:
                        return at, make(here, name, "/".join(parts))
                    recorder.mkdirat(here, name, mode)
                    self._tell(here, name, "/".join(parts[: at + 1]), directory=True)
                except FileExistsError:
                    target = self._target(here, name)
                    if target:
                        return at, target
                flags = c.O_PATH | c.O_NOFOLLOW
                flags |= 0 if last and make is not None else c.O_DIRECTORY
                child = recorder.openat(here, name, flags)
                recorder.close(here)
                here = child
            found, here = here, -1
            return at, found
        finally:
            if here >= 0:
                recorder.close(here)

    def _target(self, directory: int, name: str) -> str:
        try:
            return self.recorder.readlinkat(directory, name)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOENT):
                return ""
            raise

    def _longest_prefix(self, root: int, parts: list[str]) -> tuple[int, int]:
        for done in range(len(parts) - 1, 0, -1):
            try:
                path = "/".join(parts[:done])
                return open_inside(self.recorder, root, path, DIRECTORY), done
            except FileNotFoundError:
                continue
        return open_inside(self.recorder, root, "/", DIRECTORY), 0


def last_of(path: str) -> list[str]:
    """The components of a path that has a last one."""
    parts = components(path)
    if not parts or parts[-1] == "..":
        raise refusal(errno.EINVAL)
    return parts
