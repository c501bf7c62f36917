"""libseccomp through ctypes: building a filter and getting it out as a program (seccomp.h).

Not on the hot path: imported when a profile is compiled, never once a container is entered.
"""

from __future__ import annotations

import errno

from ociruntime import hostos as os
from ociruntime.errors import OciError

try:
    import ctypes
    from ctypes import POINTER, c_int, c_uint, c_uint32, c_uint64, c_void_p
except ImportError as error:
    raise OciError(
        f"linux.seccomp: a profile is compiled with ctypes, which cannot be loaded: {error}; "
        "install the package libffi8 (Debian, Ubuntu) or libffi (Alpine, Arch, Fedora)"
    ) from None

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

SONAME = "libseccomp.so.2"
MISSING = (
    "linux.seccomp: libseccomp.so.2 is not on this host; install the package libseccomp2 "
    "(Debian, Ubuntu) or libseccomp (Alpine, Arch, Fedora)"
)
# enum scmp_filter_attr SCMP_FLTATR_CTL_OPTIMIZE, and its value (seccomp_attr_set(3)).
ATTRIBUTE_OPTIMIZE, BINARY_TREE = 8, 2
UNKNOWN = -1
"""What resolving an unknown name gives (__NR_SCMP_ERROR); other negative numbers are libseccomp's
own, for calls that only another architecture has."""


NUMBERS_OF_CALLS = (range(1000), range(-299, -100), range(-10999, -10000))
"""Where the numbers of one architecture are: its own, those of the parts of socketcall(2) and
ipc(2), those of calls that only others have (seccomp.h, __PNR_*)."""


class _Version(ctypes.Structure):
    _fields_ = (("major", c_uint), ("minor", c_uint), ("micro", c_uint))


class _Condition(ctypes.Structure):
    """struct scmp_arg_cmp."""

    _fields_ = (("index", c_uint), ("operator", c_int), ("first", c_uint64), ("second", c_uint64))


class Library:
    """The loaded library. Raises ``OciError`` when there is none."""

    def __init__(self) -> None:
        try:
            self._functions = functions = ctypes.CDLL(SONAME)
        except OSError as error:
            # dlopen(3) says it in words only.
            if "cannot open shared object file" in str(error):
                raise OciError(MISSING) from None
            raise OciError(f"linux.seccomp: libseccomp cannot be loaded: {error}") from None
        functions.seccomp_init.argtypes = [c_uint32]
        functions.seccomp_init.restype = c_void_p
        functions.seccomp_release.argtypes = [c_void_p]
        functions.seccomp_release.restype = None
        functions.seccomp_arch_native.argtypes = []
        functions.seccomp_arch_native.restype = c_uint32
        functions.seccomp_arch_add.argtypes = [c_void_p, c_uint32]
        functions.seccomp_syscall_resolve_name_arch.argtypes = [c_uint32, ctypes.c_char_p]
        functions.seccomp_syscall_resolve_num_arch.argtypes = [c_uint32, c_int]
        functions.seccomp_syscall_resolve_num_arch.restype = c_void_p
        functions.seccomp_rule_add_array.argtypes = [
            c_void_p, c_uint32, c_int, c_uint, POINTER(_Condition),
        ]  # fmt: skip
        functions.seccomp_attr_set.argtypes = [c_void_p, c_int, c_uint32]
        functions.seccomp_export_bpf.argtypes = [c_void_p, c_int]
        functions.seccomp_version.argtypes = []
        functions.seccomp_version.restype = POINTER(_Version)

    def version(self) -> str:
        """``2.5.4``."""
        found = self._functions.seccomp_version().contents
        return f"{found.major}.{found.minor}.{found.micro}"

    def native(self) -> int:
        """The token of this machine's architecture."""
        return int(self._functions.seccomp_arch_native())

    def resolve(self, architecture: int, name: str) -> int:
        """The number of a system call; ``UNKNOWN``, or another negative one (see there)."""
        encoded = name.encode()
        return int(self._functions.seccomp_syscall_resolve_name_arch(architecture, encoded))

    def names(self) -> list[str]:
        """The names of all system calls of all architectures that the library knows."""
        free = ctypes.CDLL(None).free
        free.argtypes, free.restype = [c_void_p], None
        native = self.native() & 0xFFFFFFFF
        found = []
        for numbers in NUMBERS_OF_CALLS:
            for number in numbers:
                text = self._functions.seccomp_syscall_resolve_num_arch(native, number)
                if text:
                    found.append(ctypes.string_at(text).decode())
                    free(text)
        return found

    def path(self) -> str:
        """The file that is loaded."""
        with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
            for line in maps:
                path = line.rstrip("\n").partition("/")[2]
                if path.rpartition("/")[2].startswith("libseccomp.so"):
                    return "/" + path
        return SONAME

    def filter(self, default_action: int) -> Filter:
        """A filter without rules for the native architecture. Raises ``OSError``."""
        return Filter(self._functions, default_action)


class Filter:
    """A filter under construction; a context manager. Methods raise ``OSError`` with the errno that
    seccomp_arch_add(3), seccomp_rule_add(3) and seccomp_export_bpf(3) document.
    """

    def __init__(self, functions: ctypes.CDLL, default_action: int) -> None:
        self._functions = functions
        self._context: int | None = functions.seccomp_init(default_action)
        if self._context is None:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._functions.seccomp_release(self._context)
        self._context = None

    def add_architecture(self, token: int) -> None:
        """Let the filter speak of another architecture, too."""
        _check(self._functions.seccomp_arch_add(self._context, token))

    def add_rule(
        self, action: int, number: int, conditions: Sequence[tuple[int, int, int, int]] = ()
    ) -> None:
        """``action`` for a system call whose arguments meet all ``conditions``.

        These are (index of the argument, SCMP_CMP_*, value, second value), one an argument.
        """
        array = (_Condition * len(conditions))(*[_Condition(*entry) for entry in conditions])
        add = self._functions.seccomp_rule_add_array
        _check(add(self._context, action, number, len(conditions), array))

    def use_tree(self) -> None:
        """Have ``export`` look numbers up in a binary tree; before libseccomp 2.5, which
        has none, nothing changes.
        """
        self._functions.seccomp_attr_set(self._context, ATTRIBUTE_OPTIMIZE, BINARY_TREE)

    def export(self) -> bytes:
        """The program, an array of struct sock_filter."""
        # seccomp_export_bpf_mem(3) would need libseccomp 2.6.
        fd = os.memfd_create("seccomp", os.MFD_CLOEXEC)
        try:
            _check(self._functions.seccomp_export_bpf(self._context, fd))
            return os.pread(fd, os.fstat(fd).st_size, 0)
        finally:
            os.close(fd)


def _check(result: int) -> None:
    if result < 0:
        raise OSError(-result, os.strerror(-result))
