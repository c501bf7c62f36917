"""Connections that outlive the daemon: the keeper has them open, too, and what was asked and is not
answered yet is in the journal.

A request is written down before it is taken out of the socket, and removed when its answer is in
there. So a successor finds each of them once: in the journal, or still in the socket. It may send
an answer a second time; who waits for none ignores it (ttrpc's clients do).
"""

from __future__ import annotations

from _socket import MSG_PEEK, socket

from ociruntime.shim.ttrpc import IS_REQUEST, PIECE, Connection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.resident.loop import Loop
    from ociruntime.shim.journal import NoJournal
    from ociruntime.shim.ttrpc import Handler

# Names at the keeper, and keys in the journal.
CONNECTION, REQUEST, HALF = "connection/", "request/", "half/"


class LastingConnection(Connection):
    """``number`` is that of one which was a predecessor's; ``known`` are the streams of requests
    that it has left.
    """

    __slots__ = ("_half", "_journal", "_known", "number")

    def __init__(
        self,
        loop: Loop,
        end: socket,
        handler: Handler,
        journal: NoJournal,
        number: int = 0,
        known: tuple[int, ...] = (),
    ) -> None:
        self._journal = journal
        self._known = set(known)
        self._half = False
        self.number = number or journal.number()
        if not number:
            journal.keep({f"{CONNECTION}{self.number}": end.fileno()})
        super().__init__(loop, end, handler)

    def _read(self) -> None:
        try:
            data = self._socket.recv(PIECE, MSG_PEEK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        requests = []
        for stream, kind, payload in self._frames.feed(data):
            if kind != IS_REQUEST:
                self.close()
                return
            if stream in self._known:  # the predecessor had written it down, and not taken it out
                self._known.discard(stream)
                continue
            self._journal.put(self._key(stream), payload or b"")
            requests.append((stream, payload))
        self._note_halves()
        self._socket.recv(len(data))
        for stream, payload in requests:
            self._loop.spawn(self._answer(stream, payload))

    def again(self, stream: int, payload: bytes, handler: Handler) -> None:
        """A request that the predecessor has not answered, for another ``handler``."""
        ours, self._handler = self._handler, handler
        self._loop.spawn(self._answer(stream, payload))  # the handler is called at once
        self._handler = ours

    async def _answer(self, stream: int, payload: bytes | None) -> None:
        await super()._answer(stream, payload)
        self._journal.put(self._key(stream), None)

    def _key(self, stream: int) -> str:
        return f"{REQUEST}{self.number}/{stream}"

    def _write(self) -> None:
        super()._write()
        self._note_halves()

    def _note_halves(self) -> None:
        """Half a message is in our memory alone: who takes over then cannot go on."""
        half = not self._closed and (bool(self._out) or self._frames.pending())
        if half != self._half:
            self._half = half
            self._journal.put(f"{HALF}{self.number}", half or None)

    def close(self) -> None:
        if not self._closed:
            super().close()
            self._journal.release(f"{CONNECTION}{self.number}")
            self._note_halves()
