"""Raw system calls, implemented in native/syscall.c (an extension module, no ctypes).

No function raises for a failure of the kernel: results are the kernel's own, -errno included.
The GIL is held during every call. Not thread-aware beyond that: `clone` copies one thread.
"""

from typing_extensions import Buffer

install_dir: str | None
"""The directory that holds the package, told by the launcher; None in an ordinary Python."""

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

def sealed() -> bool:
    """Whether /proc/self/exe is a memfd sealed against writing (CVE-2019-5736)."""

def reexec_sealed(argv: list[bytes], /) -> int:
    """Execute a sealed copy of the launcher with `argv`, whose first element must be the
    launcher's absolute path. Returns only on failure: -errno, or -ENOSYS in an ordinary Python.
    """

def execveat(fd: int, argv: list[bytes], envp: list[bytes]) -> int:
    """execveat(2) of the file behind `fd`; returns only on failure: -errno.

    Raises ValueError for an argument with a NUL inside.
    """
