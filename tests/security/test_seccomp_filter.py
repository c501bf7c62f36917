"""seccomp: a denied call is denied by every way into the kernel, and for every process.

The filter holds for every table of numbers, for random profiles, for what exec starts and after
execve(2); and no program is loaded that the runtime has not made itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.support import filters
from tests.support.bundle import Bundle
from tests.support.runtime import Runtime
from tests.support.seccomp import profile, rule

MakeBundle = Callable[..., Bundle]

# mkdirat by three tables of x86-64; -1 and numbers beside all tables.
WAYS = ["258", "i386:296", "x32:258", "0x40000102", "0xffffffff00000102"]
# With any arguments they do no harm, and need no argument that is an address.
HARMLESS = ["keyctl", "umask", "sched_yield", "getpriority", "personality", "dup3"]
ACTIONS = ["ERRNO", "KILL", "KILL_PROCESS", "TRAP", "LOG", "ALLOW"]
ERRNOS = range(1000, 4000)
SAMPLE = 8
DENIED = ("errno 1", "killed by 31", "errno 38")

pytestmark = pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86-64")


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


def outcome(value: int) -> tuple[str, ...]:
    """What `syscalls` may say of a call for which the filter returns `value`."""
    action, data = value & ~0xFFFF, value & 0xFFFF
    if action == filters.ACTIONS["ERRNO"]:
        return (f"errno {data}",)
    if action in (filters.ACTIONS["KILL"], filters.ACTIONS["KILL_PROCESS"]):
        return ("killed by 31",)
    if action == filters.ACTIONS["TRAP"]:
        return ("trapped",)
    return ("let through",)


def seen(line: str) -> str:
    """The same words for what `syscalls` said; no call of its own ends with an errno of ours."""
    word = line.partition(" ")[0]
    if word == "trapped":
        return word
    if line == "killed by 31" or (word == "errno" and int(line.split()[1]) in ERRNOS):
        return line
    return "let through"


@settings(
    max_examples=SAMPLE,
    phases=[Phase.generate],  # smaller examples are for the test on paper
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(filters.profiles(HARMLESS, ACTIONS, ["ALLOW", "LOG"], (ERRNOS[0], ERRNOS[-1])))
def test_the_kernel_does_what_the_profile_says(
    runtime: Runtime, bundle: MakeBundle, syscalls: Path, made: filters.Made
) -> None:
    """A sample of what tests/unit/seccomp/test_random_profiles.py does on paper."""
    calls = [call for call in made.calls if call.audit != filters.AUDIT_AARCH64]
    words = [
        ",".join([f"{'i386:' if call.table == 'X86' else ''}{call.number}", *map(str, call.args)])
        for call in calls
    ]
    container = bundle(["/syscalls", *words])
    container.install(syscalls, "syscalls")
    container.config["linux"]["seccomp"] = made.profile
    lines = runtime.run(container).check().stdout.splitlines()
    assert len(lines) == len(calls)
    for call, line in zip(calls, lines, strict=True):
        assert seen(line) in outcome(made.says(call)), (call, line, made.profile)


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
