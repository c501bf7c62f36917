"""Signals as data: blocked, and read from a signalfd(2).

Python's own ``_signal`` is not used on the hot path: it needs the whole interpreter, and a handler
for each signal is a system call for each.
"""

from __future__ import annotations

from _struct import iter_unpack, pack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.kernel.kernel import Kernel

# signal(7), in the order of their numbers from 1; the same on x86-64 and arm64.
NAMES = [
    "HUP",
    "INT",
    "QUIT",
    "ILL",
    "TRAP",
    "ABRT",
    "BUS",
    "FPE",
    "KILL",
    "USR1",
    "SEGV",
    "USR2",
    "PIPE",
    "ALRM",
    "TERM",
    "STKFLT",
    "CHLD",
    "CONT",
    "STOP",
    "TSTP",
    "TTIN",
    "TTOU",
    "URG",
    "XCPU",
    "XFSZ",
    "VTALRM",
    "PROF",
    "WINCH",
    "IO",
    "PWR",
    "SYS",
]
BY_NAME = {name: number for number, name in enumerate(NAMES, 1)}
BY_NAME.update(IOT=6, CLD=17, POLL=29)
# What the C library leaves of the kernel's 32 to 64.
SIGRTMIN, SIGRTMAX = 34, 64
SIGWINCH = 28
# SIGKILL and SIGSTOP: nobody has a say in what they do.
FIXED = (9, 19)
# For the programs that posix_spawn(3) makes: those that our caller may have had us ignore.
SPAWN_DEFAULTS = [number for number in range(1, 65) if number not in (*FIXED, 32, 33)]
SIG_BLOCK, SIG_SETMASK = 0, 2
SFD_FLAGS = 0o2000000 | 0o4000  # SFD_CLOEXEC | SFD_NONBLOCK
SET_SIZE = 8
LAST = 64
# What a person or a supervisor does not send, or the kernel does not let us have, and the two
# numbers that belong to the C library.
NOT_FORWARDED = [
    *(
        BY_NAME[name]
        for name in [
            "ILL",
            "BUS",
            "FPE",
            "KILL",
            "SEGV",
            "PIPE",
            "CHLD",
            "STOP",
            "TTIN",
            "TTOU",
            "URG",
        ]
    ),
    32,
    33,
]
ENTRY = "=I124x"  # struct signalfd_siginfo: the number comes first
ENTRY_SIZE = 128


class Signals:
    """While it is open, signals arrive on ``fd`` instead of ending us, those that the caller had us
    ignore included.
    """

    __slots__ = ("_kernel", "fd")

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        wanted = (1 << LAST) - 1
        for number in NOT_FORWARDED:
            wanted &= ~(1 << number - 1)
        mask = bytearray(pack("=Q", wanted))
        kernel.invoke("rt_sigprocmask", SIG_SETMASK, mask, None, SET_SIZE)
        self.fd = kernel.invoke("signalfd4", -1, mask, SET_SIZE, SFD_FLAGS)

    def read(self) -> list[int]:
        """The numbers of the signals that came."""
        try:
            data = self._kernel.read(self.fd, 1280)
        except BlockingIOError:
            return []
        return [number for (number,) in iter_unpack(ENTRY, data)]


class Children:
    """From now on the end of a child makes ``fd`` readable; who is blocked from SIGCHLD by it must
    ``reset`` that in its own children.
    """

    __slots__ = ("_kernel", "fd")

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        mask = bytearray(pack("=Q", 1 << BY_NAME["CHLD"] - 1))
        kernel.invoke("rt_sigprocmask", SIG_BLOCK, mask, None, SET_SIZE)
        self.fd = kernel.invoke("signalfd4", -1, mask, SET_SIZE, SFD_FLAGS)

    def clear(self) -> None:
        """Make ``fd`` unreadable until the next end; one signal stands for any number of them."""
        try:
            self._kernel.read(self.fd, ENTRY_SIZE)
        except BlockingIOError:
            pass


def reset(kernel: Kernel) -> None:
    """For a program that we execute: nothing blocked, and every signal as it is by default,
    whatever our caller has ignored.
    """
    default = bytearray(32)
    for number in range(1, LAST + 1):
        if number not in FIXED:
            kernel.invoke("rt_sigaction", number, default, None, SET_SIZE)
    kernel.invoke("rt_sigprocmask", SIG_SETMASK, bytearray(SET_SIZE), None, SET_SIZE)
