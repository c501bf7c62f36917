"""What a filter does with the system calls that oci-init makes when it is loaded already.

Not on the hot path: what is found is kept with the program.
"""

from __future__ import annotations

from ociruntime.seccomp import bpf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ociruntime.seccomp.cache import FilterProgram

# prctl(2) PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL: what oci-init calls after the filter is loaded.
AMBIENT = (47, 4, 0, 0, 0)
# Any address: our own calls pass pointers, which a rule cannot know.
ADDRESS = 0x7FFC_0000_1000
# A descriptor above those that are kept, and MSG_NOSIGNAL | MSG_DONTWAIT.
SENDMSG = (5, ADDRESS, 0x4040)
CALLS = {
    "execve": (ADDRESS, ADDRESS, ADDRESS),
    "capset": (ADDRESS, ADDRESS),
    "prctl": AMBIENT,
    "sendmsg": SENDMSG,
}


def note_own_calls(program: FilterProgram, architecture: int, number: Callable[[str], int]) -> None:
    """Set what ``program`` returns for each of them.

    Parameters: ``architecture`` is the native AUDIT_ARCH_*, ``number`` gives a call's number there.
    Raises ``ValueError`` and ``IndexError`` as ``bpf.evaluate``.
    """
    for name, args in CALLS.items():
        setattr(program, name, bpf.evaluate(program.code, number(name), architecture, args))
