"""A filter that was compiled elsewhere: crun's annotation run.oci.seccomp_bpf_data.

Not on the hot path.
"""

from __future__ import annotations

from binascii import Error, a2b_base64
from posix import uname

from ociruntime.errors import PlanError
from ociruntime.kernel.numbers import NUMBERS
from ociruntime.seccomp import bpf
from ociruntime.seccomp.cache import FilterProgram
from ociruntime.seccomp.owncalls import note_own_calls
from ociruntime.seccomp.profile import RAW_FILTER
from ociruntime.spec.tables import SECCOMP_ARCHITECTURES

POINTER = f"/annotations/{RAW_FILTER}"
# linux/audit.h, as libseccomp names it.
NATIVE = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}
INSTRUCTION = 8
ALLOW = 0x7FFF0000


def read_filter(text: str) -> FilterProgram:
    """The program that ``text`` has, which is base64 of an array of struct sock_filter.

    The kernel proves the rest when it is loaded. What it does with the calls that oci-init needs is
    found out if it has only instructions that libseccomp writes. Raises ``PlanError``.
    """
    try:
        code = a2b_base64(text.encode(), strict_mode=True)
    except (Error, ValueError):
        raise PlanError(f"annotation {RAW_FILTER}: not base64", POINTER, _cure()) from None
    count, rest = divmod(len(code), INSTRUCTION)
    if rest or not 0 < count <= bpf.LONGEST:
        raise PlanError(
            f"annotation {RAW_FILTER}: {len(code)} bytes are no filter of 1 to {bpf.LONGEST} "
            f"instructions of {INSTRUCTION} bytes",
            POINTER,
            _cure(),
        )
    program = FilterProgram(code, "", (0, 0, 0))
    program.execve = program.capset = program.prctl = program.sendmsg = ALLOW
    try:
        architecture = SECCOMP_ARCHITECTURES[NATIVE[uname().machine]]
        note_own_calls(program, architecture, NUMBERS.__getitem__)
    except (ValueError, LookupError):
        pass  # an instruction of other compilers', or nonsense, which the kernel refuses
    return program


def _cure() -> str:
    return "write the array of struct sock_filter that seccomp(2) takes, in base64"
