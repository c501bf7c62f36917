"""seccomp: a denied call is denied by every way into the kernel, and for every process.

32 bit entry points and x32 numbers are how filters that look at numbers alone were passed by; exec
is how a second process may come in without one; and a planted program in the runtime's state would
be loaded as root.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.bundle import Bundle
from tests.support.runtime import Runtime
from tests.support.seccomp import build_syscalls, condition, profile, rule

MakeBundle = Callable[..., Bundle]

# mkdirat by three tables of x86-64; -1 and numbers beside all tables.
WAYS = ["258", "i386:296", "x32:258", "0x40000102", "0xffffffff00000102"]
DENIED = ("errno 1", "killed by 31", "errno 38")

pytestmark = pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86-64")


@pytest.fixture(scope="session")
def syscalls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.getbasetemp()
    return build_syscalls(base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base)


@pytest.fixture
def confined(bundle: MakeBundle, syscalls: Path) -> Bundle:
    made = bundle()
    made.install(syscalls, "syscalls")
    made.config["linux"]["seccomp"] = profile("ALLOW", rule("mkdir mkdirat", "ERRNO"))
    return made


@pytest.mark.parametrize("architectures", [[], ["X86_64"], ["X86_64", "X86", "X32"]])
def test_no_way_into_the_kernel_is_open(
    runtime: Runtime, confined: Bundle, architectures: list[str]
) -> None:
    confined.set("/linux/seccomp/architectures", [f"SCMP_ARCH_{name}" for name in architectures])
    confined.args = ["/syscalls", *WAYS]
    lines = runtime.run(confined).check().stdout.splitlines()
    assert len(lines) == len(WAYS)
    for way, line in zip(WAYS, lines, strict=True):
        assert line in DENIED, way


def test_a_rule_with_conditions_holds(runtime: Runtime, confined: Bundle) -> None:
    """libseccomp 2.5.4's lists forget to load the number before the only rule of an architecture;
    what is compared with it then is the architecture, and socketpair(AF_UNIX, SOCK_DGRAM) passes.
    """
    rules = [
        rule("socketpair", "ERRNO", args=[condition(1, "MASKED_EQ", 0xFF, 2)]),
        rule("chown32", "ERRNO"),
    ]
    made = profile("ALLOW", *rules)
    made["architectures"] = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
    confined.config["linux"]["seccomp"] = made
    confined.args = ["/syscalls", "53,1,2"]
    assert runtime.run(confined).check().stdout.strip() == "errno 1"


@pytest.mark.parametrize("options", [[], ["--user", "1000:1000"], ["--cap", "CAP_SYS_ADMIN"]])
def test_exec_is_confined(runtime: Runtime, confined: Bundle, options: list[str]) -> None:
    confined.args = ["/bin/sleep", "100"]
    container = runtime.up(confined)
    result = runtime.exec(container, "/syscalls", "258", options=options).check()
    assert result.stdout.strip() == "errno 1"


def test_the_process_cannot_take_it_off(runtime: Runtime, confined: Bundle) -> None:
    """Neither by execve(2) nor by a filter of its own: the strictest answer counts."""
    confined.shell("exec /bin/sh -c 'exec /syscalls 258'")
    assert runtime.run(confined).check().stdout.strip() == "errno 1"


@pytest.mark.parametrize("spoil", ["owner", "mode", "content"])
def test_a_planted_program_is_not_loaded(runtime: Runtime, confined: Bundle, spoil: str) -> None:
    """Only for runtimes that keep compiled filters: ours."""
    if not runtime.is_ours:
        pytest.skip("keeps no compiled filters")
    confined.args = ["/syscalls", "258"]
    runtime.run(confined).check()
    (entry,) = (runtime.root / ".seccomp").iterdir()
    good = entry.read_bytes()
    if spoil == "owner":
        os.chown(entry, 1000, 1000)
    elif spoil == "mode":
        entry.chmod(0o666)
    else:
        # A filter that allows everything, in place of the last instructions.
        entry.write_bytes(good[:-8] + b"\x06\0\0\0\0\0\xff\x7f")
    assert runtime.run(confined).check().stdout.strip() == "errno 1"
    assert entry.read_bytes() == good
    assert entry.stat().st_mode & 0o7777 == 0o600
    assert entry.stat().st_uid == 0
