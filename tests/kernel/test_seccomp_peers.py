"""The same profile, the same system calls: what runc, crun and we make of them.

Both tables hold for all three; where peers differ from us, it stands here with the reason.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ociruntime.kernel.numbers import NUMBERS
from tests.support.bundle import Bundle
from tests.support.runtime import Runtime
from tests.support.sandbox import Sandbox
from tests.support.seccomp import BASIC, condition, profile, rule

MakeBundle = Callable[..., Bundle]

# What Go's runtime and crun need beyond our own list to load a filter without no_new_privs.
PEERS = (
    "bpf epoll_create1 epoll_ctl epoll_pwait eventfd2 faccessat2 fadvise64 fchdir fchmod fchown "
    "fstatfs getcwd getdents gettid getpeername getsockname getsockopt keyctl kill lstat madvise "
    "memfd_create mincore pread64 recvfrom recvmsg recvmmsg sched_getaffinity seccomp sendto "
    "setgroups setgid setuid setresgid setresuid setsockopt socket socketpair statfs timer_create "
    "timer_delete timer_settime umask rt_sigtimedwait sigprocmask capget mount umount2"
)
EVERY = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
N = NUMBERS
CALLS = [
    *(N[name] for name in ("mkdirat", "personality", "add_key", "unshare", "umask", "setns")),
    447, 448, "i386:20", "i386:39", "i386:296", "x32:39",
]  # fmt: skip
FUTURE = [450, 600, 1000, "i386:450", "i386:600"]

PROFILES: dict[str, dict[str, Any]] = {
    "strict": profile("ERRNO", rule(BASIC + " " + PEERS), rule("futex_waitv"), architectures=EVERY),
    "errno": profile("ERRNO", rule(BASIC + " " + PEERS), rule("futex_waitv", "ERRNO", errnoRet=5),
                     defaultErrnoRet=38, architectures=EVERY),
    "permissive": profile(
        "ALLOW",
        rule("mkdirat", "ERRNO", errnoRet=77),
        rule("add_key", "KILL_PROCESS"),
        rule("unshare", "TRAP"),
        rule("setns", "LOG"),
        rule("umask", "TRACE"),
        rule("personality", "ERRNO", args=[condition(0, "EQ", 0)]),
        architectures=EVERY,
    ),
    "native only": profile("ALLOW", rule("mkdirat", "KILL"), architectures=EVERY[:1]),
    "unknown names": profile("ALLOW", rule("nothing mkdirat chown32", "ERRNO")),
    "alternatives": profile(
        "ALLOW",
        rule("personality", "ERRNO",
             args=[condition(0, "GT", 5), condition(0, "EQ", 0)], errnoRet=55),
    ),
    "same as default": profile("ALLOW", rule("mkdirat"), rule("unshare", "ERRNO")),
    "first rule": profile("ALLOW", rule("mkdirat", "ERRNO", errnoRet=5),
                          rule("mkdirat", "ERRNO", errnoRet=6)),
}  # fmt: skip


@pytest.fixture(params=["runc", "crun"])
def peer(request: pytest.FixtureRequest, sandbox: Sandbox, runtime: Runtime) -> Any:
    binary = shutil.which(request.param)
    if binary is None:
        pytest.skip(f"{request.param} is not installed")
    other = Runtime(Path(binary), sandbox)
    other.root = sandbox.directory / request.param
    # Files of one sandbox, counted apart.
    other._calls = 1000
    yield other
    assert not other.remove_all()


def outcomes(
    runtime: Runtime, bundle: MakeBundle, syscalls: Path, seccomp: dict[str, Any], calls: list[Any]
) -> list[str]:
    made = bundle(["/syscalls", *map(str, calls)], process={"noNewPrivileges": True})
    made.config["linux"]["seccomp"] = seccomp
    made.install(syscalls, "syscalls")
    lines = runtime.run(made).check().stdout.split("\n")[:-1]
    # getpid(2) answers with a number that is nobody's business here.
    return ["a pid" if line.isdecimal() and 0 < int(line) < 100 else line for line in lines]


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86-64")
@pytest.mark.parametrize("name", PROFILES)
def test_same_outcomes(
    runtime: Runtime, peer: Runtime, bundle: MakeBundle, syscalls: Path, name: str
) -> None:
    asked = PROFILES[name]
    ours = outcomes(runtime, bundle, syscalls, asked, CALLS)
    assert outcomes(peer, bundle, syscalls, asked, CALLS) == ours


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86-64")
@pytest.mark.parametrize("default", ["ERRNO", "KILL", "KILL_PROCESS", "TRAP"])
def test_future_calls_are_runc_s(
    runtime: Runtime, peer: Runtime, bundle: MakeBundle, syscalls: Path, default: str
) -> None:
    """crun gives the default action; so does runc where the profile names no architecture."""
    asked = {**PROFILES["strict"], "defaultAction": f"SCMP_ACT_{default}"}
    ours = outcomes(runtime, bundle, syscalls, asked, FUTURE)
    assert ours == ["errno 38"] * len(FUTURE)
    theirs = outcomes(peer, bundle, syscalls, asked, FUTURE)
    assert (theirs == ours) == (peer.binary.name == "runc")
    del asked["architectures"]
    assert outcomes(runtime, bundle, syscalls, asked, FUTURE[:3]) == ["errno 38"] * 3
