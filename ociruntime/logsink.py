"""--log journald: and syslog: messages for the host's own log instead of a file (crun's forms).

    journald:NAME    systemd's journal, by its own protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL)
    syslog:NAME      /dev/log (syslog(3), RFC 3164)

NAME is what the messages are called, ``ociruntime`` without one. A message is one datagram, and one
line, so neither needs quoting.
"""

from __future__ import annotations

from _socket import AF_UNIX, MSG_DONTWAIT, SOCK_CLOEXEC, SOCK_DGRAM, socket

from ociruntime import hostos as os

# RFC 5424, 6.2.1: levels, and the facility of daemons.
PRIORITIES = {"error": 3, "warning": 4, "info": 6, "debug": 7}
DAEMON = 3 << 3
SOCKETS = {"journald": "/run/systemd/journal/socket", "syslog": "/dev/log"}
DEFAULT = "ociruntime"


class Sink:
    """Where messages of --log KIND:NAME go."""

    __slots__ = ("_kind", "_name", "_path")

    def __init__(self, kind: str, name: str) -> None:
        self._kind = kind
        self._name = name or DEFAULT
        self._path = SOCKETS[kind]

    def write(self, level: str, message: str) -> None:
        """Send one message; raises ``OSError`` where nobody takes it."""
        priority = PRIORITIES[level]
        if self._kind == "journald":
            text = f"PRIORITY={priority}\nSYSLOG_IDENTIFIER={self._name}\nMESSAGE={message}\n"
        else:
            text = f"<{DAEMON | priority}>{self._name}[{os.getpid()}]: {message}"
        sender = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)
        try:
            data = text.encode("utf-8", "backslashreplace")
            sender.sendto(data, MSG_DONTWAIT, self._path)
        finally:
            sender.close()

    def check(self) -> None:
        """Raise ``OSError`` unless somebody listens."""
        tester = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)
        try:
            tester.connect(self._path)
        finally:
            tester.close()


def sink_of(text: str) -> Sink | None:
    """The sink of a --log option; None for a file."""
    kind, colon, name = text.partition(":")
    return Sink(kind, name) if colon and kind in SOCKETS else None
