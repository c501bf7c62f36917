"""The kernel as the container's first process sees it.

What is called here is carried out by oci-setup (``kernel.program``, native/oci-setup.c), which is
in the container's namespaces; this process never is. Calls that answer nothing but success or a
descriptor are collected and sent together: a step that makes only such calls is compiled, and what
refuses one of them is raised for its step when the program has been carried out. Whoever asks for
more, or has to know at once (``at_once``), waits.
"""

from __future__ import annotations

import errno

from ociruntime import hostos as os
from ociruntime.errors import OciError, StepError
from ociruntime.kernel import program as p
from ociruntime.kernel.filesystems import said_by
from ociruntime.kernel.kernel import AtOnce, Kernel
from ociruntime.kernel.numbers import NUMBERS
from ociruntime.kernel.program import Descriptor, Program, strings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Protocol

    from ociruntime.kernel.program import Operand, Record
    from ociruntime.kernel.stubs import Stub

    class Asking(Protocol):
        """For whom calls are collected (``process.step``)."""

        label: str

        def explain(self, number: int) -> str:
            """What errno ``number`` means there."""

    class Channel(Protocol):
        """The way to oci-setup (``process.channel``)."""

        def send_program(self, program: bytes, fds: Sequence[int]) -> None:
            """Send what ``Program.pack`` has made."""

        def receive(self) -> bytes:
            """Its records."""

        def fileno(self) -> int:
            """Readable when there are some."""

    # (errno, value and text of the record) -> the error
    Explain = Callable[[int, int, bytes], OSError | OciError]
    # Where an operation comes from (the label may change), and who wants to know of it.
    Note = Callable[[int], None]
    Origin = tuple[Asking | None, str, Explain | None, Note | None, "Answer | None"]

# What answers with a new descriptor.
OPENING = ("open_tree", "openat", "openat2", "fsopen", "fsmount", "fspick", "socket")
# What answers with something else than success, and in which operand.
WRITING = {
    "statx": 4,
    "fstatfs": 1,
    "read": 1,
    "getdents64": 1,
    "readlinkat": 2,
    "getcwd": 0,
    "keyctl": 2,
}
# As long as their result.
MEASURED = ("read", "getdents64", "readlinkat", "getcwd")
# Nobody looks at their result.
SILENT = {
    "chroot", "close", "dup3", "fchdir", "fchmodat", "fchownat", "fcntl", "fsetxattr", "ftruncate",
    "mkdirat", "mknodat", "mount", "mount_setattr", "move_mount", "personality", "pivot_root",
    "prctl", "set_mempolicy", "setdomainname", "sethostname", "setns", "setresgid", "setresuid",
    "setsid", "symlinkat", "umask", "umount2", "unshare",
}  # fmt: skip
# Nobody waits for it.
CLOSE = NUMBERS["close"]
# What is told of when no step has begun.
START = "linux.namespaces"


class Answer:
    """What one operation will have answered: errno or 0, result, what it wrote."""

    __slots__ = ("number", "text", "value")

    def __init__(self) -> None:
        self.number = 0
        self.value = 0
        self.text = b""


class Inside(Kernel):
    """oci-setup, at the other end of ``channel``.

    ``step`` is the step that is being compiled; ``made`` is told what was made in the rootfs;
    ``left``: it was about to become another program.
    """

    def __init__(self, channel: Channel, made: list[Stub]) -> None:
        super().__init__()
        self.channel = channel
        self.step: Asking | None = None
        self.left = False
        self._made = made
        self._program = Program()
        self._origins: list[Origin] = []
        self._sent: list[Origin] = []
        self._registers: list[int] = []  # that are free again, of the first `_used`
        self._used = 0
        self._waits = 0

    # the program

    def queue(
        self,
        code: int,
        *operands: Operand,
        opens: bool = False,
        into: Descriptor | None = None,
        tolerated: tuple[int, ...] = (),
        skip: int = 0,
        note: Callable[[int], None] | None = None,
        explain: Explain | None = None,
        answer: Answer | None = None,
        number: int = 0,
        output: int = -1,
        output_size: int = 0,
        flags: int = 0,
    ) -> Descriptor:
        """Add an operation of ``kernel.program``; what it ``opens``, or opens ``into``.

        ``tolerated`` errnos leave out the next ``skip`` operations (with the flag ELSE: only they
        have them carried out), and are told to ``note``; others are raised as ``explain`` says.
        ``answer`` is filled when the program was carried out. With ``at_once`` that is now.
        """
        result: int = p.NO_REGISTER
        if opens:
            result = self._register()
        elif into is not None:
            result = into
        if note is not None:
            flags |= p.NOTED
        if answer is not None:
            flags |= p.WANTED
        step = self.step
        label = step.label if step is not None else START
        self._origins.append((step, label, explain, note, answer))
        self._program.add(
            code, operands, number, result, tolerated, skip, flags, output, output_size
        )
        if self._waits and number != CLOSE:
            try:
                self._wait()
            except OSError:
                if opens:
                    self._registers.append(result)
                raise
        return Descriptor(result)

    def ask(self, code: int, *operands: Operand, **more: object) -> Answer:
        """Add an operation, and wait for what it answers; raises ``OSError``."""
        answer = Answer()
        self.queue(code, *operands, answer=answer, **more)  # type: ignore[arg-type]
        if not self._waits:
            self._wait()
        return answer

    def _wait(self) -> None:
        self.send()
        self.receive(alone=True)

    def _register(self) -> int:
        if self._registers:
            return self._registers.pop()
        if self._used == p.REGISTERS:
            raise OSError(errno.EMFILE, "too many mounts are kept for later")
        self._used += 1
        return self._used - 1

    def forget(self, fd: Descriptor) -> None:
        """An operation that was added has closed it."""
        self._registers.append(int(fd))

    def position(self) -> int:
        """Of the next operation, for ``skip_from``."""
        return len(self._origins)

    def skip_from(self, index: int) -> None:
        """Let the operation ``index`` leave out all that was added since then, if it fails with a
        tolerated errno.
        """
        self._program.set_skip(index, len(self._origins) - index - 1)

    def carry_out(self) -> None:
        """Have everything done that was added, and raise what went wrong, in the words of its
        step. ``process.channel.Closed`` when oci-setup has ended.
        """
        if self._origins:
            self.send()
            self.receive()

    @property
    def is_waiting(self) -> bool:
        """Whether there is something to be done."""
        return bool(self._origins)

    def send(self, fds: Sequence[int] = ()) -> None:
        """Send what was added, with descriptors for ``TAKE``; ``receive`` has to follow."""
        self._sent = self._origins
        self._origins = []
        self.channel.send_program(self._program.pack(), fds)

    def receive(self, *, alone: bool = False) -> None:
        """Wait for the answer. With ``alone`` a failure of the last operation is an ``OSError``."""
        sent = self._sent
        while True:
            for record in p.records(self.channel.receive()):
                if record.kind == p.RECORD_DONE:
                    return
                if record.kind != p.RECORD_FAILED:
                    self._take(sent[record.operation], record)
                    continue
                step, label, explain, _, _ = sent[record.operation]
                error: OSError | OciError = OSError(record.number, os.strerror(record.number))
                if explain is not None:
                    error = explain(record.number, record.value, record.text)
                if alone and record.operation == len(sent) - 1:
                    raise error
                raise explained(step, label, error)

    def first_step(self) -> Asking | None:
        """The step with which what was sent last begins."""
        return self._sent[0][0] if self._sent else self.step

    def _take(self, origin: Origin, record: Record) -> None:
        _, _, _, note, answer = origin
        if record.kind == p.RECORD_LEAVING:
            self.left = True
        elif record.kind == p.RECORD_MADE:
            from ociruntime.kernel.stubs import stub_of

            self._made.append(stub_of(record))
        elif record.kind == p.RECORD_NOTE:
            if note is not None:
                note(record.number)
        elif answer is not None:
            answer.number = record.number
            answer.value = record.value
            answer.text = record.text

    # the calls

    def at_once(self) -> _AtOnce:
        """Within this context every call waits, and raises ``OSError`` itself."""
        return _AtOnce(self)

    def invoke(self, name: str, *args: Operand) -> int:
        number = NUMBERS[name]
        if name in SILENT:
            self.queue(p.CALL, *args, number=number)
            if number == CLOSE and type(args[0]) is Descriptor:
                self._registers.append(int(args[0]))
            return 0
        if name in OPENING:
            return self.queue(p.CALL, *args, number=number, opens=True)
        buffer: Operand = None
        output = WRITING.get(name, -1)
        operands = list(args)
        more: dict[str, object] = {}
        if name == "ioctl" and len(args) > 2 and isinstance(args[2], bytearray):
            output, buffer = 2, args[2]
        elif 0 <= output < len(args) and isinstance(args[output], bytearray):
            buffer, operands[output] = args[output], None
        if isinstance(buffer, bytearray):
            more = {"output": output, "output_size": len(buffer)}
            more["flags"] = p.BYTES if name in MEASURED else 0
        answer = self.ask(p.CALL, *operands, number=number, **more)
        if isinstance(buffer, bytearray):
            buffer[: len(answer.text)] = answer.text
        return answer.value

    def call(self, name: str, *args: Operand, **more: object) -> Descriptor:
        """Add a system call with what ``queue`` takes besides."""
        return self.queue(p.CALL, *args, number=NUMBERS[name], **more)  # type: ignore[arg-type]

    def ask_call(self, name: str, *args: Operand) -> Answer:
        """Make a system call, and wait for what it answers; raises ``OSError``."""
        return self.ask(p.CALL, *args, number=NUMBERS[name])

    def new_filesystem(
        self,
        filesystem: str,
        source: str,
        options: list[str],
        attributes: int = 0,
        flags_if_known: Sequence[str] = (),
        *,
        tolerated: tuple[int, ...] = (),
        note: Callable[[int], None] | None = None,
        skip: int = 0,
        flags: int = 0,
    ) -> Descriptor:
        def explain(number: int, value: int, text: bytes) -> OSError:
            said = said_by(text.split(b"\n"))
            if value >= p.OPTION:
                option = options[value - p.OPTION]
                said = f"option {option}: {said}" if said else f"option {option} is refused"
            return OSError(number, said or os.strerror(number))

        return self.queue(
            p.FILESYSTEM,
            os.fsencode(filesystem),
            os.fsencode(source),
            *strings([os.fsencode(option) for option in options]),
            *strings([os.fsencode(flag) for flag in flags_if_known]),
            attributes,
            opens=True,
            explain=explain,
            tolerated=tolerated,
            note=note,
            skip=skip,
            flags=flags,
        )

    def refuse_kind(self, fd: int, kind: int, explain: Explain) -> None:
        """Fail, as ``explain`` says, when ``fd`` is of this kind (S_IF*)."""
        self.queue(p.KIND, fd, kind, tolerated=(errno.EOPNOTSUPP,), skip=1)
        self.queue(p.KIND, fd, 0, explain=explain)

    def execute(self, fd: int, argv: list[bytes], envp: list[bytes], explain: Explain) -> None:
        """Become the program of ``fd``; there is nobody to hear from then."""
        self.queue(p.EXECUTE, fd, *strings(argv), *strings(envp), explain=explain)


class _AtOnce(AtOnce):
    __slots__ = ("_kernel",)

    def __init__(self, kernel: Inside) -> None:
        self._kernel = kernel

    def __enter__(self) -> None:
        # What was added before is not this one's to fail.
        self._kernel.carry_out()
        self._kernel._waits += 1

    def __exit__(self, *_: object) -> None:
        self._kernel._waits -= 1


def explained(step: Asking | None, label: str, error: OSError | OciError) -> OciError:
    """The step's own words around what the kernel said."""
    if isinstance(error, OciError):
        return error
    number, detail = reason(step, error)
    return StepError(label, number, detail)


def reason(step: Asking | None, error: OSError) -> tuple[int, str]:
    """Errno and detail: the step's explanation first, else what the kernel or our check said beyond
    the errno.
    """
    number = error.errno or 0
    said = error.strerror or ""
    if said == os.strerror(number):
        said = ""
    cure = step.explain(number) if step is not None else ""
    if said and cure:
        return number, f"{said}; {cure}"
    return number, cure or said
