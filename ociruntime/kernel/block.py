"""The block: everything oci-init is told, and the report it answers with (native/block.h).

The layout is fixed in native/block.h; tests/native compares both. Imported on the hot path.
"""

from __future__ import annotations

import _struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

MAGIC = 0x4249434F
VERSION = 1
SIZE_MAX = 1 << 20

WAIT = 1 << 0
NO_NEW_PRIVS = 1 << 1
SET_GROUPS = 1 << 2
SECCOMP = 1 << 3
TIMES = 1 << 4

HEADER = _struct.Struct("=4I2i8I5Q8I")
RLIMIT = _struct.Struct("=2I2Q")
REPORT = _struct.Struct("=2IiI")
REPORT_MAGIC = 0x5249434F
REPORT_TIME = 0x100

START = b"S"
"""What `start` sends to a waiting oci-init; anything else, or nothing, leaves it waiting."""

START_TIMES = b"T"
"""The same, and wants the times of its stages as well (``trace.times``)."""

EXIT_BLOCK = 70
"""Exit status of an oci-init that refused its block, before it had a channel to say so."""

FIRST_KEPT_FD = 3
MAX_ID = 0xFFFF_FFFE
MAX_FILTER = 0xFFFF
MAX_MASK = (1 << 64) - 1

STAGE_BLOCK = 1
STAGE_WAIT = 2
STAGE_SIGNALS = 3
STAGE_LSM = 4
STAGE_RLIMIT = 5
STAGE_BOUNDING = 6
STAGE_GROUPS = 7
STAGE_GID = 8
STAGE_UID = 9
STAGE_CAPS = 10
STAGE_AMBIENT = 11
STAGE_CHDIR = 12
STAGE_CWD = 13
STAGE_NO_NEW_PRIVS = 14
STAGE_SECCOMP = 15
STAGE_LISTENER = 16
STAGE_CLOSE = 17
STAGE_EXEC = 18

STAGES = {
    STAGE_BLOCK: "read the instructions of oci-init",
    STAGE_WAIT: "wait for start",
    STAGE_SIGNALS: "reset the signals",
    STAGE_LSM: "set the security label",
    STAGE_RLIMIT: "set a resource limit",
    STAGE_BOUNDING: "drop a capability from the bounding set",
    STAGE_GROUPS: "set the additional groups",
    STAGE_GID: "set the group id",
    STAGE_UID: "set the user id",
    STAGE_CAPS: "set the capabilities",
    STAGE_AMBIENT: "set the ambient capabilities",
    STAGE_CHDIR: "enter the working directory",
    STAGE_CWD: "check that the working directory is inside the container",
    STAGE_NO_NEW_PRIVS: "set no_new_privs",
    STAGE_SECCOMP: "load the seccomp filter",
    STAGE_LISTENER: "hand over the seccomp listener",
    STAGE_CLOSE: "close the runtime's descriptors",
    STAGE_EXEC: "execute the program",
}
"""What oci-init was doing, for the middle of a sentence ("cannot ...")."""


class Report:
    """One message of oci-init: `stage` failed with `errno`; `detail` as block.h says.

    STAGE_LISTENER with errno 0 is no failure: the seccomp listener came along as SCM_RIGHTS.
    """

    __slots__ = ("detail", "errno", "stage")

    def __init__(self, stage: int, errno: int, detail: int) -> None:
        self.stage = stage
        self.errno = errno
        self.detail = detail


def unpack_report(message: bytes) -> Report:
    """The report in `message`.

    Raises ValueError for anything else: the peer was not oci-init.
    """
    if len(message) != REPORT.size:
        raise ValueError(f"a report of oci-init has {REPORT.size} bytes, not {len(message)}")
    magic, stage, errno, detail = REPORT.unpack(message)
    if magic != REPORT_MAGIC or stage not in STAGES:
        raise ValueError("not a report of oci-init")
    return Report(stage, errno, detail)


def init_argv(block_fd: int, candidates: Sequence[bytes], args: Sequence[bytes]) -> list[bytes]:
    """The argv of oci-init: its block, the paths to try in turn, the process's own arguments."""
    return [b"oci-init %d" % block_fd, *candidates, *args]


def pack_block(
    *,
    channel_fd: int,
    cwd: bytes,
    candidates: int,
    uid: int,
    gid: int,
    umask: int,
    groups: Sequence[int] | None,
    bounding: int,
    effective: int,
    permitted: int,
    inheritable: int,
    ambient: int,
    last_cap: int,
    wait: bool = False,
    no_new_privs: bool = False,
    keep_fds: int = 0,
    proc_fd: int = -1,
    lsm: tuple[bytes, bytes] | None = None,
    rlimits: Sequence[tuple[int, int, int]] = (),
    seccomp: bytes | None = None,
    seccomp_flags: int = 0,
    times: bool = False,
) -> bytes:
    """The block's bytes, to be written to a sealed memfd.

    `channel_fd` is a SOCK_SEQPACKET socket: listening with `wait`, else connected or -1 for none.
    It and `proc_fd` lie above the `keep_fds` descriptors from 3 on that the program keeps.
    `cwd` is absolute, inside the container. `candidates` counts the paths in argv. `groups` None
    leaves the groups alone (where the kernel forbids setgroups). The five capability masks have
    bit n for capability n and are applied as given: what the host cannot grant must be out.
    `lsm` is (attribute below /proc/self/attr, text to write). `rlimits` are (RLIMIT_*, soft,
    hard): those that would hinder the runtime itself (a tiny RLIMIT_NOFILE), applied at the end
    without further privilege than CAP_SYS_RESOURCE. `seccomp` is an array of struct sock_filter.
    `times` asks for the times of the stages (``trace.times``); with `wait`, `start` asks instead.

    Raises ValueError for a value oci-init would refuse.
    """
    first = FIRST_KEPT_FD + keep_fds
    if not (channel_fd >= first or (channel_fd == -1 and not wait)):
        raise ValueError(f"channel_fd {channel_fd} is not above the kept descriptors")
    if not (proc_fd >= first or (proc_fd == -1 and lsm is None)):
        raise ValueError(f"proc_fd {proc_fd} is not above the kept descriptors")
    if not 0 <= last_cap < 64:
        raise ValueError(f"last_cap {last_cap} is not in 0..63")
    if candidates < 1:
        raise ValueError("there is no path to execute")
    for number in (uid, gid, *(groups or ())):
        if not 0 <= number <= MAX_ID:
            raise ValueError(f"id {number} is not in 0..{MAX_ID}")
    for mask in (bounding, effective, permitted, inheritable, ambient):
        if not 0 <= mask <= MAX_MASK:
            raise ValueError(f"capability mask {mask:#x} is not in 0..{MAX_MASK:#x}")
    if not cwd.startswith(b"/"):
        raise ValueError(f"cwd {cwd!r} is not absolute")

    flags = WAIT if wait else 0
    if times and not wait:
        flags |= TIMES
    if no_new_privs:
        flags |= NO_NEW_PRIVS
    tail = bytearray()
    # Widest members first, so that every array is aligned without padding.
    rlimits_offset = HEADER.size
    for resource, soft, hard in rlimits:
        tail += RLIMIT.pack(resource, 0, soft, hard)
    seccomp_offset = HEADER.size + len(tail)
    if seccomp is not None:
        if len(seccomp) % 8 or len(seccomp) // 8 > MAX_FILTER:
            raise ValueError(f"a seccomp filter of {len(seccomp)} bytes")
        flags |= SECCOMP
        tail += seccomp
    groups_offset = HEADER.size + len(tail)
    if groups is not None:
        flags |= SET_GROUPS
        tail += _struct.pack(f"={len(groups)}I", *groups)
    cwd_offset = HEADER.size + len(tail)
    attr_offset = label_offset = 0
    tail += _string(cwd)
    if lsm is not None:
        attr_offset = HEADER.size + len(tail)
        tail += _string(b"self/attr/" + lsm[0])
        label_offset = HEADER.size + len(tail)
        tail += _string(lsm[1])
    size = HEADER.size + len(tail)
    if size > SIZE_MAX:
        raise ValueError(f"a block of {size} bytes; at most {SIZE_MAX}")
    header = HEADER.pack(
        MAGIC,
        VERSION,
        size,
        flags,
        channel_fd,
        proc_fd,
        keep_fds,
        uid,
        gid,
        umask,
        len(groups) if groups is not None else 0,
        groups_offset,
        len(rlimits),
        rlimits_offset,
        bounding,
        effective,
        permitted,
        inheritable,
        ambient,
        last_cap,
        candidates,
        cwd_offset,
        attr_offset,
        label_offset,
        seccomp_flags,
        len(seccomp) // 8 if seccomp is not None else 0,
        seccomp_offset,
    )
    return header + tail


def _string(text: bytes) -> bytes:
    if b"\0" in text:
        raise ValueError(f"{text!r} contains a NUL byte")
    return text + b"\0"
