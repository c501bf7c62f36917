"""The block: all that oci-init or oci-exec is told, and what it reports (native/block.h).

The layout is fixed in native/block.h; tests/native compares both. Imported on the hot path.
"""

from __future__ import annotations

import _struct

from ociruntime.kernel.execblock import terminated

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ociruntime.kernel.execblock import ExecBlock

MAGIC = 0x4249434F
VERSION = 1
SIZE_MAX = 1 << 20

WAIT = 1 << 0
NO_NEW_PRIVS = 1 << 1
SET_GROUPS = 1 << 2
SECCOMP = 1 << 3
TIMES = 1 << 4
EXEC = 1 << 5
AWAY = 1 << 6
ALL_CPUS = 1 << 7

HEADER = _struct.Struct("=4I2i8I5Q8I")
RLIMIT = _struct.Struct("=2I2Q")
REPORT = _struct.Struct("=2IiI")
REPORT_MAGIC = 0x5249434F
REPORT_TIME = 0x100
REPORT_NOTE = 0x200

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
STAGE_JOIN = 19
STAGE_CLONE = 20
STAGE_MADE = 21
STAGE_CGROUP = 22
STAGE_CGROUP_NS = 23
STAGE_USER_NS = 24
STAGE_PROC = 25
STAGE_ROOT = 26
STAGE_SESSION = 27
STAGE_KEYRING = 28
STAGE_STREAMS = 29
STAGE_DIRECTORY = 30
STAGE_OUTSIDE = 31
STAGE_PROGRAM = 32
STAGE_ENTERED = 33
STAGE_JOINED = 34
STAGE_CPUS = 35
STAGE_TERMINAL = 36
STAGE_MULTIPLEXER = 37
STAGE_CONSOLE = 38
STAGE_MEMORY = 39
STAGE_PERSONA = 40

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
    STAGE_JOIN: "join the container's namespaces",
    STAGE_CLONE: "make a process in the container",
    STAGE_MADE: "tell the process's pid",
    STAGE_CGROUP: "join a cgroup",
    STAGE_CGROUP_NS: "join the cgroup namespace",
    STAGE_USER_NS: "become root of the user namespace",
    STAGE_PROC: "make a procfs for the security label",
    STAGE_ROOT: "enter the container's root",
    STAGE_SESSION: "start a session",
    STAGE_KEYRING: "join a session keyring",
    STAGE_STREAMS: "give a standard stream to the user",
    STAGE_DIRECTORY: "enter the working directory",
    STAGE_OUTSIDE: "find the working directory inside the container",
    STAGE_PROGRAM: "find the program",
    STAGE_ENTERED: "tell that it has entered",
    STAGE_JOINED: "tell that it is in its cgroups",
    STAGE_CPUS: "run on other CPUs",
    STAGE_TERMINAL: "make a terminal",
    STAGE_MULTIPLEXER: "find the multiplexer of terminals",
    STAGE_CONSOLE: "send the terminal's master",
    STAGE_MEMORY: "set the memory policy",
    STAGE_PERSONA: "set the execution domain",
}
"""What oci-init was doing, for the middle of a sentence ("cannot ...")."""


class Report:
    """One message of oci-init or oci-exec: `stage` failed with `errno`; `detail` as block.h says.

    STAGE_LISTENER with errno 0 is no failure: the seccomp listener came along as SCM_RIGHTS. Nor
    are STAGE_MADE, STAGE_JOINED and STAGE_ENTERED. `is_note`: the process goes on without.
    """

    __slots__ = ("detail", "errno", "is_note", "stage")

    def __init__(self, stage: int, errno: int, detail: int) -> None:
        self.stage = stage & ~REPORT_NOTE
        self.errno = errno
        self.detail = detail
        self.is_note = bool(stage & REPORT_NOTE)


def unpack_report(message: bytes) -> Report:
    """The report in `message`.

    Raises ValueError for anything else: the peer was not oci-init.
    """
    if len(message) != REPORT.size:
        raise ValueError(f"a report of oci-init has {REPORT.size} bytes, not {len(message)}")
    magic, stage, errno, detail = REPORT.unpack(message)
    if magic != REPORT_MAGIC or stage & ~REPORT_NOTE not in STAGES:
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
    away: bool = False,
    all_cpus: bool = False,
    for_exec: ExecBlock | None = None,
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
    `away` says that `cwd` was closed to root of the container: the process itself must get there.
    `all_cpus` frees the process of the CPUs that the runtime was bound to, within its cpuset.
    `for_exec` makes it a block for oci-exec: it has a channel, does not wait, and `proc_fd` is -1.
    All its descriptors are above the kept ones.

    Raises ValueError for a value oci-init would refuse.
    """
    first = FIRST_KEPT_FD + keep_fds
    if not (channel_fd >= first or (channel_fd == -1 and not wait)):
        raise ValueError(f"channel_fd {channel_fd} is not above the kept descriptors")
    if not (proc_fd >= first or (proc_fd == -1 and (lsm is None or for_exec is not None))):
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

    if for_exec is not None and (wait or channel_fd < 0 or proc_fd >= 0):
        raise ValueError("oci-exec has a channel, does not wait and needs no procfs")
    if for_exec is not None and any(fd < first for fd in for_exec.descriptors()):
        raise ValueError(f"{min(for_exec.descriptors())} is not above the kept descriptors")

    flags = WAIT if wait else 0
    if times and not wait:
        flags |= TIMES
    if no_new_privs:
        flags |= NO_NEW_PRIVS
    if away:
        flags |= AWAY
    if all_cpus:
        flags |= ALL_CPUS
    tail = bytearray()
    if for_exec is not None:
        flags |= EXEC
        tail += for_exec.pack(HEADER.size)
    # Widest members first, so that every array is aligned without padding.
    rlimits_offset = HEADER.size + len(tail)
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
    tail += terminated(cwd)
    if lsm is not None:
        attr_offset = HEADER.size + len(tail)
        tail += terminated(b"self/attr/" + lsm[0])
        label_offset = HEADER.size + len(tail)
        tail += terminated(lsm[1])
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
