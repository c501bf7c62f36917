"""Making and changing filesystems (fsopen(2), fspick(2)): the calls that are a conversation."""

from __future__ import annotations

import errno

from ociruntime import hostos as os
from ociruntime.kernel import constants as c

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ociruntime.kernel.kernel import Argument


class Filesystems:
    """Part of ``Kernel``."""

    if TYPE_CHECKING:

        def invoke(self, name: str, *args: Argument) -> int: ...
        def close(self, fd: int) -> None: ...
        def read(self, fd: int, size: int) -> bytes: ...

    def new_filesystem(
        self,
        filesystem: str,
        source: str,
        options: list[str],
        attributes: int = 0,
        flags_if_known: Sequence[str] = (),
    ) -> int:
        """A detached mount of a new filesystem.

        Parameters: ``options`` are ``key=value`` or ``key`` strings as in mount(8)'s data;
        ``attributes`` are MOUNT_ATTR_* flags; ``flags_if_known`` are flags that many filesystems
        do not have: such a one goes without. Raises ``OSError`` whose text is what the filesystem
        itself said, when it said something.
        """
        context = self.invoke("fsopen", os.fsencode(filesystem), c.FSOPEN_CLOEXEC)
        try:
            if source:
                self._set(context, f"source={source}")
            self._configure(context, options)
            for flag in flags_if_known:
                self._set_if_known(context, flag)
            self.invoke("fsconfig", context, c.FSCONFIG_CMD_CREATE, None, None, 0)
            return self.invoke("fsmount", context, c.FSMOUNT_CLOEXEC, attributes)
        except OSError as error:
            raise OSError(error.errno, self._messages(context) or error.strerror) from None
        finally:
            self.close(context)

    def reconfigure(self, mount: int, options: list[str]) -> None:
        """Change options of the filesystem that ``mount`` shows, wherever else it is mounted.

        ``options`` and errors are as in ``new_filesystem``; what is not named stays as it is.
        """
        flags = c.FSPICK_CLOEXEC | c.FSPICK_EMPTY_PATH
        context = self.invoke("fspick", mount, b"", flags)
        try:
            self._configure(context, options)
            self.invoke("fsconfig", context, c.FSCONFIG_CMD_RECONFIGURE, None, None, 0)
        except OSError as error:
            raise OSError(error.errno, self._messages(context) or error.strerror) from None
        finally:
            self.close(context)

    def _configure(self, context: int, options: list[str]) -> None:
        """Set each option, and say which one was refused."""
        for option in options:
            try:
                self._set(context, option)
            except OSError as error:
                said = self._messages(context)
                text = f"option {option}: {said}" if said else f"option {option} is refused"
                raise OSError(error.errno, text) from None

    def _set(self, context: int, option: str) -> None:
        key, separator, value = option.partition("=")
        if separator:
            pair = os.fsencode(key), os.fsencode(value)
            self.invoke("fsconfig", context, c.FSCONFIG_SET_STRING, *pair, 0)
        else:
            self.invoke("fsconfig", context, c.FSCONFIG_SET_FLAG, os.fsencode(key), None, 0)

    def _set_if_known(self, context: int, flag: str) -> None:
        try:
            self._set(context, flag)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            self._messages(context)  # or a later failure would be explained by this one

    def _messages(self, context: int) -> str:
        said: list[bytes] = []
        for _ in range(8):
            try:
                said.append(self.read(context, 512))
            except OSError:
                break
        return said_by(said)


def said_by(messages: Sequence[bytes]) -> str:
    """What a filesystem wrote into its context's log (fsopen(2)), for a person: ``devpts: Bad value
    for 'gid'``.
    """
    said = [message.decode("utf-8", "replace").strip() for message in messages]
    return "; ".join(line[2:] if line[:2] in ("e ", "w ", "i ") else line for line in said if line)
