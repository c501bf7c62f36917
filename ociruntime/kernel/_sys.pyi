"""Raw system calls, implemented in native/sys-module.c (an extension module, no ctypes).

No function raises for a failure of the kernel: results are the kernel's own, -errno included.
The GIL is held during every call. Not thread-aware beyond that: `clone` copies one thread.
"""

from typing_extensions import Buffer

install_dir: str | None
"""The directory that holds the package, told by the launcher; None in an ordinary Python."""

commit: str
"""The Git commit of the source tree that this was built from, with "-dirty" behind it when that had
changes; "unknown" for sources that come without their history."""

def call(number: int, /, *args: int | bytes | Buffer | None) -> int:
    """Call the kernel: the result, or -errno.

    At most six arguments: an int (anything that fits 64 bits, signed or unsigned), None (a null
    pointer), bytes (a C string), or another buffer such as bytearray or memoryview (raw memory,
    which the kernel may write whether or not Python calls it read-only).

    Raises ValueError for bytes with a NUL inside, TypeError for any other kind (str!) and for
    more than six arguments, OverflowError for an int that needs more than 64 bits.
    """

def clone(flags: int, cgroup_fd: int = -1, exit_signal: int = 17) -> tuple[int, int]:
    """clone3(2) in fork style: `(pid, pidfd)` in the parent, `(0, -1)` in the child.

    CLONE_PIDFD is always added (the pidfd is close-on-exec), CLONE_INTO_CGROUP when `cgroup_fd`
    is not negative. A failure is `(-errno, -1)`. Python's own fork handlers run as in os.fork.

    Raises ValueError for flags that share memory or threads with the child, and for CLONE_PARENT
    with an `exit_signal` other than 0 (the kernel gives such a child its sibling's).
    """

def pack_operation(
    data: bytearray,
    operands: tuple[int | bytes | bytearray | None, ...],
    descriptor: type[int],
    inherited: type[int],
    code: int,
    result: int,
    skip: int,
    flags: int,
    tolerated: tuple[int, ...],
    number: int,
    output: int,
    output_size: int,
    scratch: int,
    /,
) -> bytes:
    """One struct operation of native/program.h; what its operands point to is appended to the
    program's ``data``.

    An operand is a number (of which 64 bits count), a register where its type is ``descriptor``, a
    number all the same where that is ``inherited``, a string or memory. What the operation writes
    is the operand ``output``: where that is None, ``output_size`` bytes at the offset ``scratch``.

    Raises ValueError for a string with a NUL inside, TypeError for more operands or tolerated
    errnos than there is room for, and for operands of any other kind.
    """

def run_program(
    fd: int,
    argv: list[bytes],
    envp: list[bytes],
    streams: Buffer,
    kept: Buffer,
    milliseconds: int,
    preserved: int = 0,
    /,
) -> int:
    """Execute the program behind `fd` in a child that shares our memory until then, and wait for
    its end, in which our thread sleeps: its wait status, or -errno if it was not executed. It is
    killed after so many `milliseconds` (-1: never).

    The buffers hold C ints: what becomes descriptor 0, 1 and 2, and what else stays open, ascending
    (only if there are streams is everything else closed). What is kept is no longer close-on-exec
    there, but for `fd` and the `preserved` descriptors from 3 on, which are as we got them. The
    program starts with every signal blocked, and dies with the caller.

    Raises ValueError for an argument with a NUL inside.
    """

def start_program(
    fd: int,
    argv: list[bytes],
    envp: list[bytes],
    streams: Buffer,
    kept: Buffer,
    preserved: int = 0,
    /,
) -> tuple[int, int]:
    """The same, and only until it is executed: its pid and a pidfd (close-on-exec), or (-errno, -1)
    if it was not. The caller has to wait for its end.
    """

def rest(ranges: Buffer, fd: int, nanoseconds: int, /) -> int:
    """Give back the memory in `ranges` that can be had again, then wait until `fd` is readable (or
    has an error): poll(2)'s result, 0 after so many `nanoseconds` (-1: wait for ever).

    A range is four numbers of 64 bits: where a private mapping of a file begins and ends, the
    offset in the file that it begins at, and a descriptor of the file (-1: none). Pages that were
    not written to are unmapped, and those that are as the file has them; the next access maps them
    again. The process must have one thread, and nobody may write to the file. The range that our
    stack is in stays as it is, and so do all where /proc/self/pagemap cannot be read.

    Raises ValueError for half a range.
    """

def execveat(fd: int, argv: list[bytes], envp: list[bytes]) -> int:
    """execveat(2) of the file behind `fd`; returns only on failure: -errno.

    Raises ValueError for an argument with a NUL inside.
    """

def execve(path: bytes, argv: list[bytes], envp: list[bytes]) -> int:
    """execve(2), which takes an empty argv[0], too; returns only on failure: -errno.

    Raises ValueError for an argument with a NUL inside.
    """
