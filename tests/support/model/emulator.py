"""oci-setup on the recorder: its programs (ociruntime/kernel/program.py) carried out on a model, no
process and no privileges.

What native/*.c does is done here again in Python; tests/unit/kernel/test_inroot.py compares both.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from ociruntime.kernel import program as p
from ociruntime.kernel.inside import Inside
from ociruntime.kernel.processes import Executable
from ociruntime.process.channel import Channel, Closed
from ociruntime.process.run import Run
from tests.support.model.operations import Operation, Operations, Refused
from tests.support.model.recorder import ProgramStarted, Recorder

if TYPE_CHECKING:
    from _socket import socket

    from tests.support.model.process import Process


class Emulator(Operations):
    """oci-setup, in the process that the recorder has started last: both ends of one channel."""

    def __init__(self, recorder: Recorder, process: Process | None = None) -> None:
        super().__init__(process)
        self.recorder = recorder
        self.registers: dict[int, int] = {}
        self.inbox: deque[bytes] = deque()
        self.started: ProgramStarted | None = None
        self.ended = False
        self.content = b""
        self._records = b""
        self._at = 0
        self.said = b""
        self._ready: int | None = None
        self.taken: Sequence[int] = ()

    def connect(self) -> tuple[Channel, socket]:
        """For ``Run.connect``."""
        return cast("Channel", self), cast("socket", _End())

    # the channel

    def send_program(self, content: bytes, fds: Sequence[int] = ()) -> None:
        if self.ended or self.process.result is not None:
            raise Closed("gone")
        self.inbox.append(content)
        self.taken = fds

    def receive(self) -> bytes:
        if self.ended or self.process.result is not None or not self.inbox:
            raise Closed("gone")
        host, self.recorder.process = self.recorder.process, self.process
        try:
            return self._answer(self.inbox.popleft())
        except ProgramStarted as program:
            self.started = program
            self.ended = True
            return self._records
        finally:
            self.recorder.process = host

    def fileno(self) -> int:
        """Something that is readable: no answer has to be waited for."""
        if self._ready is None:
            self._ready = os.eventfd(1)
        return self._ready

    def close(self) -> None:
        """Without the channel there is nothing that it lives for."""
        if self._ready is not None:
            os.close(self._ready)
            self._ready = None
        process = self._process
        if process is not None and self.started is None and process.result is None:
            self.recorder.end(process)
        self.ended = True

    def watch(self, patience: object) -> None:
        """What comes, comes at once."""

    # a program

    def _answer(self, content: bytes) -> bytes:
        self.content, self._records = content, b""
        magic, size, _, count, begin, _ = p.HEADER.unpack_from(content)
        assert (magic, size) == (p.MAGIC, len(content))
        assert content[begin - 1] == 0
        self._at = 0
        while self._at < count:
            one = self._operation(begin + self._at * p.OPERATION.size)
            self.said = b""
            number, result = 0, -1
            try:
                result = self.perform(one)
            except Refused as refused:
                number, why, self.said = refused.number, refused.why, refused.text
            except OSError as error:
                number, why = error.errno or 0, p.PLAINLY
            if one.result != p.NO_REGISTER:
                self.registers[one.result] = result
            if number and number not in one.tolerated and p.EVERY_ERRNO not in one.tolerated:
                self.put(p.RECORD_FAILED, number, why, self.said)
                return self._records
            if one.flags & p.WANTED:
                self.put(p.RECORD_VALUE, number, -number or result, self._output(one, result))
            if number and one.flags & p.NOTED:
                self.put(p.RECORD_NOTE, number)
            if bool(number) != bool(one.flags & p.ELSE):
                self._at += one.skip
            self._at += 1
        self.put(p.RECORD_DONE, 0)
        return self._records

    def _operation(self, at: int) -> Operation:
        fields = p.OPERATION.unpack_from(self.content, at)
        code, result, skip, flags = fields[:4]
        kinds, number, output, output_size = fields[8:12]
        values = fields[12:]
        operands: list[int | bytes | bytearray] = []
        for index, value in enumerate(values):
            kind = kinds >> 4 * index & 15
            if kind == p.DATA:
                operands.append(self.content[value : self.content.index(b"\0", value)])
            elif kind == p.SCRATCH:
                operands.append(bytearray(output_size))
            elif kind == p.REGISTER:
                operands.append(self.registers.get(value, -1))
            else:
                operands.append(value - (1 << 64) if value >> 63 else value)
        return Operation(
            code,
            result,
            skip,
            flags,
            fields[4:8],
            number,
            output,
            output_size,
            operands,
            [value if kinds >> 4 * index & 15 == p.DATA else -1
             for index, value in enumerate(values)],
        )  # fmt: skip

    def put(self, kind: int, number: int, value: int = 0, text: bytes = b"") -> None:
        size = p.RECORD.size + len(text)
        record = p.RECORD.pack(kind, 0, size, self._at, number, value) + text
        self._records += record + bytes(-size % 8)

    def _output(self, one: Operation, result: int) -> bytes:
        if not one.output_size:
            return self.said
        if result < 0:
            return b""
        for operand in one.operands:
            if isinstance(operand, bytearray) and len(operand) >= one.output_size:
                size = result if one.flags & p.BYTES else one.output_size
                return bytes(operand[:size])
        raise AssertionError("no output")


def emulated(recorder: Recorder) -> Run:
    """A run whose container side is a process of the recorder, in no namespace of its own."""
    recorder.start_program(Executable(0, [], [], []))
    run = Run(recorder, [])
    run.channel, _ = Emulator(recorder).connect()
    run.setup = Inside(run.channel, run.stubs)
    return run


class _End:
    """What oci-setup is started with."""

    def fileno(self) -> int:
        return FAR

    def close(self) -> None:
        """It has a copy."""


# Of no descriptor.
FAR = 1 << 19
