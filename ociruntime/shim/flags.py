"""The command line that containerd gives a shim, in the style of Go's flag package."""

from __future__ import annotations

VALUES = ("namespace", "address", "publish-binary", "id", "bundle", "socket", "debug-socket")
SWITCHES = ("debug", "info", "v", "version")


class Flags:
    """``-name value``, ``-name=value``, with one dash or two; unknown ones are ignored.

    ``action`` is the first argument, empty for the daemon.
    """

    __slots__ = ("_switches", "_values", "action")

    def __init__(self, words: list[str]) -> None:
        self._values: dict[str, str] = {}
        self._switches: set[str] = set()
        self.action = ""
        rest = iter(words)
        for word in rest:
            if not word.startswith("-"):
                self.action = self.action or word
                continue
            name, separator, value = word.lstrip("-").partition("=")
            if name in SWITCHES:
                if not separator or value in ("1", "t", "T", "true", "TRUE", "True"):
                    self._switches.add(name)
            elif separator:
                self._values[name] = value
            elif name in VALUES:
                self._values[name] = next(rest, "")

    def text(self, name: str) -> str:
        """The value, empty without."""
        return self._values.get(name, "")

    def switch(self, name: str) -> bool:
        """Whether it was given."""
        return name in self._switches
