"""oci-setup driven directly: what it refuses, what it answers, and what it does when nobody speaks.

native/program.h and ociruntime/kernel/program.py describe one layout.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ociruntime.errors import StepError
from ociruntime.kernel import constants as c
from ociruntime.kernel import program as p
from ociruntime.kernel.inroot import InRoot
from ociruntime.kernel.inside import Answer, Inside
from ociruntime.kernel.kernel import Kernel
from ociruntime.kernel.numbers import NUMBERS
from ociruntime.kernel.ocinit import open_program
from ociruntime.kernel.processes import Executable
from ociruntime.kernel.program import Program, records, strings
from ociruntime.process.channel import Channel, Closed, channel_pair
from ociruntime.process.run import Run
from tests.native.driver import BUSYBOX, CHECKOUT
from tests.support.setup import oci_setup

HEADER = (CHECKOUT / "native" / "program.h").read_text()


class Started:
    """An oci-setup on this machine, without a plan."""

    def __init__(self) -> None:
        kernel = Kernel()
        program = open_program(kernel, "oci-setup")
        self.channel, there = channel_pair()
        arguments = [b"oci-setup", b"%d" % there.fileno()]
        fds = sorted((program, there.fileno()))
        self.pid, self.pidfd = kernel.start_program(Executable(program, arguments, [], fds))
        there.close()
        kernel.close(program)

    def status(self) -> int:
        _, status = os.waitpid(self.pid, 0)
        os.close(self.pidfd)
        self.channel.close()
        return os.waitstatus_to_exitcode(status)


@pytest.fixture
def inner() -> Iterator[Inside]:
    with oci_setup() as kernel:
        yield kernel


def packed(**changes: int) -> bytearray:
    """A program of one call, getpid, with other values in its header."""
    program = Program()
    program.add(p.CALL, (), number=NUMBERS["getpid"])
    content = bytearray(program.pack())
    fields = dict(
        zip(
            ("magic", "size", "scratch", "count", "operations", "zero"),
            p.HEADER.unpack_from(content),
            strict=True,
        )
    )
    fields.update(changes)
    p.HEADER.pack_into(content, 0, *fields.values())
    return content


def test_constants_are_one(tmp_path: Path) -> None:
    """Every name of the header that Python has, too."""
    compiler = shutil.which("cc")
    assert compiler is not None
    kinds = "DO|RECORD|FAILED|OPERATION|OPERAND|MAKING"
    found = re.findall(rf"^    ((?:{kinds})_\w+) = ", HEADER, re.MULTILINE)
    names = [*found, "PACKET_MAX", "SCRATCH_MAX", "REGISTERS", "NO_REGISTER", "OPERANDS",
             "TOLERATED", "EVERY_ERRNO", "PROGRAM_MAGIC"]  # fmt: skip
    lines = [f'printf("{name} %llu\\n", (unsigned long long){name});' for name in names]
    lines += [
        f'printf("{name} %zu\\n", sizeof(struct {name}));'
        for name in ("program", "operation", "record")
    ]
    source = f"#include <stdio.h>\n#include <program.h>\nint main(void) {{ {' '.join(lines)} }}"
    program = tmp_path / "layout"
    command = [compiler, "-x", "c", "-I", str(CHECKOUT / "native"), "-o", str(program), "-"]
    subprocess.run(command, input=source.encode(), check=True)
    done = subprocess.run([program], capture_output=True, text=True, check=True)
    values = {name: int(value) for name, value in map(str.split, done.stdout.splitlines())}
    sizes = {"program": p.HEADER.size, "operation": p.OPERATION.size, "record": p.RECORD.size}
    assert {name: values.pop(name) for name in sizes} == sizes
    renamed = {
        "DO_MASK": "MASK_PATH", "PROGRAM_MAGIC": "MAGIC", "OPERATION_CODES": "",
        "OPERATION_SCRATCH": "", "FAILED_PLAINLY": "PLAINLY", "FAILED_PROC": "FAKE_PROC",
        "FAILED_DIRECTORY": "ON_DIRECTORY", "OPERATION_BYTES": "BYTES",
    }  # fmt: skip
    for name, value in values.items():
        ours = renamed.get(name, name if name in vars(p) else name.partition("_")[2])
        if ours:
            assert vars(p)[ours] == value, name


@pytest.mark.parametrize(
    "content",
    [
        b"x" * 30,
        packed(magic=1),
        packed(size=200),
        packed(scratch=1 << 20),
        packed(count=2),
        packed(operations=25),
        packed(operations=8),
        packed(operations=1 << 20),
    ],
    ids=["short", "magic", "size", "scratch", "count", "odd", "header", "outside"],
)
def test_a_program_that_is_none(content: bytes) -> None:
    started = Started()
    started.channel.send_program(bytes(content))
    assert started.status() == p.EXIT_PROGRAM


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (0, 99),  # code
        (1, p.REGISTERS),  # result
        (2, 1),  # skip
        (8, 7),  # kinds
        (8, p.REGISTER),  # of an operand that is too large
        (8, p.DATA),
        (8, p.SCRATCH),
        (11, 1),  # output_size
    ],
)
def test_an_operation_that_is_none(field: int, value: int) -> None:
    started = Started()
    program = Program()
    program.add(p.CALL, (1 << 40,), number=NUMBERS["getpid"])
    fields = list(p.OPERATION.unpack(program.operations))
    fields[field] = value
    program.operations[:] = p.OPERATION.pack(*fields)
    started.channel.send_program(program.pack())
    assert started.status() == p.EXIT_PROGRAM


def test_an_operation_is_packed_as_the_header_says() -> None:
    program = Program()
    number, register, given = (1 << 64) + 5, p.Descriptor(7), p.Inherited(9)
    program.add(p.OPEN, (number, register, given, b"path", bytearray(b"a\0b"), None, -1),
                number=3, result=2, tolerated=(4, 5), skip=6, flags=p.WANTED,
                output=5, output_size=9)  # fmt: skip
    program.add(p.CALL, (bytearray(b"12"),), output=0, output_size=2)
    program.set_skip(1, 0x1234)
    path = p.HEADER.size
    memory, last = path + len(b"path") + 1, path + len(b"path") + 1 + len(b"a\0b") + 1
    kinds = p.REGISTER << 4 | p.DATA << 12 | p.DATA << 16 | p.SCRATCH << 20
    assert list(p.OPERATION.iter_unpack(program.operations)) == [
        (p.OPEN, 2, 6, p.WANTED | 1 << 3, 4, 5, 0, 0, kinds, 3, 0, 9, 5, 7, 9, path, memory, 0,
         p.MASK, 0),
        (p.CALL, p.NO_REGISTER, 0x1234, 0, 0, 0, 0, 0, p.DATA, 0, last, 2, last, 0, 0, 0, 0, 0, 0,
         0),
    ]  # fmt: skip
    assert program.scratch == 16
    assert program.pack()[path:].startswith(b"path\0a\0b\0" + b"12\0")
    assert (program.scratch, program.operations) == (0, b"")


@pytest.mark.parametrize(
    ("operands", "error"),
    [((b"a\0b",), ValueError), ((1.5,), TypeError), ((True,), TypeError), (("a",), TypeError),
     ((1,) * 9, TypeError)],
)  # fmt: skip
def test_an_operand_that_is_none(operands: tuple[Any, ...], error: type[Exception]) -> None:
    with pytest.raises(error):
        Program().add(p.CALL, operands)


def test_more_errnos_than_there_is_room_for() -> None:
    with pytest.raises(TypeError):
        Program().add(p.CALL, (), tolerated=(1, 2, 3, 4, 5))


@pytest.mark.parametrize("argument", [b"", b"x", b"2", b"3x", b"9999999999"])
def test_no_channel(argument: bytes) -> None:
    kernel = Kernel()
    program = open_program(kernel, "oci-setup")
    _, pidfd = kernel.start_program(Executable(program, [b"oci-setup", argument], [], [program]))
    kernel.close(program)
    code, status = kernel.wait_pidfd(pidfd)
    kernel.close(pidfd)
    assert (code, status) == (1, p.EXIT_PROGRAM)


def test_it_ends_with_its_channel() -> None:
    started = Started()
    started.channel.close()
    assert started.status() == 1


def test_nobody_may_look_into_it() -> None:
    started = Started()
    program = Program()
    program.add(p.CALL, (), number=NUMBERS["getpid"])
    started.channel.send_program(program.pack())
    started.channel.receive()
    status = Path(f"/proc/{started.pid}/status").read_text()
    assert "Name:\toci-setup\n" in status
    owner = Path(f"/proc/{started.pid}/exe").lstat().st_uid
    assert owner == 0, "not dumpable: its files are root's, whoever it belongs to"
    started.channel.close()
    started.status()


def test_what_is_written(inner: Inside, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content")
    fd = inner.open(str(tmp_path / "file"), c.O_RDONLY)
    assert inner.read(fd, 100) == b"content"
    assert inner.stat(fd).size == 7
    directory = inner.open(str(tmp_path), c.O_RDONLY | c.O_DIRECTORY)
    assert inner.names(directory) == ["file"]


def test_registers_are_given_back(inner: Inside, tmp_path: Path) -> None:
    """More descriptors than there are registers, one behind the other."""
    for _ in range(p.REGISTERS + 10):
        inner.close(inner.open(str(tmp_path), c.O_PATH))
    inner.carry_out()
    for _ in range(p.REGISTERS):
        inner.open(str(tmp_path), c.O_PATH)
    with pytest.raises(OSError, match="too many"):
        inner.open(str(tmp_path), c.O_PATH)


def test_a_string_with_a_nul(inner: Inside) -> None:
    with pytest.raises(ValueError, match="NUL"):
        inner.open("/a\0b", c.O_PATH)
    with pytest.raises(ValueError, match="NUL"):
        inner.new_filesystem("tmpfs", "", ["a\0b"])


def test_a_program_longer_than_a_packet(inner: Inside, tmp_path: Path) -> None:
    names = [str(number) * 50 for number in range(1000, 1900)]
    directory = inner.open(str(tmp_path), c.O_PATH | c.O_DIRECTORY)
    for name in names:
        inner.mkdirat(directory, name, 0o700)
    inner.carry_out()
    assert sorted(os.listdir(tmp_path)) == sorted(names)
    assert inner.stat(directory).kind == c.S_IFDIR, "and shorter ones again"


def test_an_answer_longer_than_a_packet(inner: Inside, tmp_path: Path) -> None:
    root = InRoot(inner, inner.open(str(tmp_path), c.O_PATH | c.O_DIRECTORY))
    for number in range(400):
        root.directory(f"/{number}-" + "x" * 200)
    inner.carry_out()
    assert len(inner._made) == 400


def test_failures(inner: Inside) -> None:
    inner.mkdirat(inner.open("/proc/self", c.O_PATH), "x", 0o700)
    with pytest.raises(StepError) as caught:
        inner.carry_out()
    assert caught.value.number in (errno.EPERM, errno.ENOENT, errno.EACCES)
    with pytest.raises(OSError, match="Bad file"):
        inner.read(1 << 30, 1)


def test_a_refused_filesystem(inner: Inside) -> None:
    with pytest.raises(OSError, match="option nonsense=1"), inner.at_once():
        inner.new_filesystem("tmpfs", "tmpfs", ["mode=755", "nonsense=1"])
    with pytest.raises(OSError, match="No such device"), inner.at_once():
        inner.new_filesystem("nonsense", "", [])
    inner.new_filesystem("tmpfs", "tmpfs", [], flags_if_known=["nonsense"])
    inner.carry_out()


def test_a_descriptor_that_comes_along(inner: Inside, tmp_path: Path) -> None:
    file = os.open(tmp_path, os.O_RDONLY)
    taken = inner.queue(p.TAKE, 0, opens=True)
    inner.send([file])
    inner.receive()
    assert inner.stat(taken).ino == os.fstat(file).st_ino
    os.close(file)
    with pytest.raises(OSError, match="Bad file"), inner.at_once():
        inner.queue(p.TAKE, 0, opens=True)


def hook(inner: Inside, script: bytes, output: int, *, milliseconds: int = -1) -> tuple[int, int]:
    arguments = strings([b"sh", b"-c", script])
    started = Answer()
    environment = strings([b"A=b"])
    inner.queue(
        *(p.HOOK, BUSYBOX, *arguments, *environment, b"/missing", 0o27), answer=started
    )
    inner.send([output, output, output])
    inner.receive(alone=True)
    ended = inner.ask(p.WAIT, started.value, milliseconds).value
    return ended & ~p.TIME_IS_OVER, ended & p.TIME_IS_OVER


def test_hooks(inner: Inside) -> None:
    read, write = os.pipe()
    script = b"echo $A; pwd; umask; ls /proc/self/fd | wc -l; trap; exit 5"
    assert hook(inner, script, write) == (5 << 8, 0)
    assert os.read(read, 1000).decode().split() == ["b", "/", "0027", "4"]
    assert hook(inner, b"kill -9 $$", write) == (signal.SIGKILL, 0)
    assert hook(inner, b"sleep 1000", write, milliseconds=50) == (signal.SIGKILL, p.TIME_IS_OVER)
    assert hook(inner, b"exit 0", write, milliseconds=60_000) == (0, 0)
    os.close(read)
    os.close(write)


def test_a_hook_that_is_missing(inner: Inside) -> None:
    empty = strings([])
    inner.queue(p.HOOK, b"/missing", *strings([b"a"]), *empty, b"/", -1)
    inner.send([0, 1, 2])
    with pytest.raises(FileNotFoundError):
        inner.receive(alone=True)


def test_it_becomes_another_program(inner: Inside) -> None:
    read, write = os.pipe()
    taken = inner.queue(p.TAKE, 0, opens=True)
    inner.send([write])
    inner.receive()
    inner.dup3(taken, 1)
    program = inner.open(BUSYBOX.decode(), c.O_PATH)
    arguments = [b"echo", *(b"%d" % number for number in range(20_000))]

    def refused(number: int, _value: int, _text: bytes) -> OSError:
        return OSError(number, os.strerror(number))

    inner.execute(program, arguments, [b"A=b"], refused)
    with pytest.raises(Closed):
        inner.carry_out()
    os.close(write)
    with open(read) as output:
        assert output.read().split() == [str(number) for number in range(20_000)]


def test_a_keyring_of_its_own() -> None:
    run = Run(Kernel(), [])
    with oci_setup(run) as inner:
        inner.queue(p.KEYRING, b"_ses.test", tolerated=(errno.ENOSYS, errno.EPERM))
        inner.carry_out()


def test_records_that_are_none() -> None:
    whole = p.RECORD.pack(p.RECORD_DONE, 0, p.RECORD.size, 0, 0, 0)
    assert [record.kind for record in records(whole)] == [p.RECORD_DONE]
    for packet in (
        whole[:-1],
        p.RECORD.pack(9, 0, p.RECORD.size, 0, 0, 0),
        p.RECORD.pack(p.RECORD_DONE, 0, 1 << 20, 0, 0, 0),
        p.RECORD.pack(p.RECORD_DONE, 0, 3, 0, 0, 0),
    ):
        with pytest.raises(ValueError, match="record"):
            list(records(packet))


def test_channel_is_a_channel() -> None:
    """Nobody is there: that is an end, and no error of the system."""
    here, there = channel_pair()
    there.close()
    assert isinstance(here, Channel)
    with pytest.raises(Closed):
        here.send_program(b"x")
    with pytest.raises(Closed):
        here.receive()
    here.close()
