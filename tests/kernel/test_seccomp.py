"""linux.seccomp on the kernel: every action, operator, architecture and flag; create and exec."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ociruntime.kernel.numbers import NUMBERS
from tests.support.bundle import Bundle
from tests.support.runtime import Runtime
from tests.support.seccomp import condition, corpus, profile, rule, strict
from tests.support.verdict import assert_clear

MakeBundle = Callable[..., Bundle]

MKDIRAT, PERSONALITY, KEYCTL = (NUMBERS[name] for name in ("mkdirat", "personality", "keyctl"))
UNKNOWN = 700
SIGSYS = 31
needs_x86_64 = pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86-64")
needs_strace = pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")


@pytest.fixture
def calls(runtime: Runtime, bundle: MakeBundle, syscalls: Path) -> Callable[..., list[str]]:
    """What becomes of system calls in a container with a profile: `calls(profile, call...)`."""

    def make(seccomp: dict[str, Any], *wanted: object, **process: Any) -> list[str]:
        made = bundle(["/syscalls", *map(str, wanted)], process=process)
        made.config["linux"]["seccomp"] = seccomp
        made.install(syscalls, "syscalls")
        return runtime.run(made).check().stdout.split("\n")[:-1]

    return make


Calls = Callable[..., list[str]]


@pytest.mark.parametrize(
    ("action", "properties", "outcome"),
    [
        ("ERRNO", {}, "errno 1"),
        ("ERRNO", {"errnoRet": 5}, "errno 5"),
        ("ERRNO", {"errnoRet": 0}, "0"),
        ("KILL", {}, f"killed by {SIGSYS}"),
        ("KILL_THREAD", {}, f"killed by {SIGSYS}"),
        ("KILL_PROCESS", {}, f"killed by {SIGSYS}"),
        ("TRAP", {}, f"trapped {MKDIRAT}"),
        ("TRACE", {}, f"errno {errno.ENOSYS}"),  # nobody traces
        ("LOG", {}, f"errno {errno.EFAULT}"),
        ("ALLOW", {}, f"errno {errno.EFAULT}"),
    ],
)
@pytest.mark.parametrize("no_new_privs", [True, False])
def test_actions(
    calls: Calls, action: str, properties: dict[str, int], outcome: str, no_new_privs: bool
) -> None:
    default = "LOG" if action == "ALLOW" else "ALLOW"
    made = profile(default, rule("mkdirat", action, **properties))
    assert calls(made, MKDIRAT, noNewPrivileges=no_new_privs) == [outcome]


def test_a_thread_or_the_process_is_killed(calls: Calls) -> None:
    made = profile("ALLOW", rule("mkdirat", "KILL_THREAD"), rule("personality", "KILL_PROCESS"))
    outcomes = calls(made, f"thread:{MKDIRAT}", f"thread:{PERSONALITY}")
    assert outcomes == ["survived", f"killed by {SIGSYS}"]


def test_default_action(calls: Calls) -> None:
    assert calls(strict(), MKDIRAT) == ["errno 1"]
    assert calls(strict(defaultErrnoRet=5), MKDIRAT) == ["errno 5"]
    assert calls(strict(rule("mkdirat")), MKDIRAT) == [f"errno {errno.EFAULT}"]


@pytest.mark.parametrize(
    ("operator", "value", "second", "denied", "allowed"),
    [
        ("NE", 5, 0, (4, 6), (5,)),
        ("LT", 5, 0, (4,), (5, 6)),
        ("LE", 5, 0, (5,), (6,)),
        ("EQ", 5, 0, (5,), (4, 1 << 32 | 5)),
        ("GE", 5, 0, (5, 1 << 32), (4,)),
        ("GT", 5, 0, (6,), (5,)),
        ("MASKED_EQ", 0xF0, 0x30, (0x30, 0x3F), (0x40,)),
    ],
)
def test_operators(
    calls: Calls, operator: str, value: int, second: int, denied: Any, allowed: Any
) -> None:
    made = profile(
        "ALLOW", rule("keyctl", "ERRNO", errnoRet=77, args=[condition(1, operator, value, second)])
    )
    outcomes = calls(made, *(f"{KEYCTL},99,{argument}" for argument in (*denied, *allowed)))
    assert outcomes == ["errno 77"] * len(denied) + [f"errno {errno.EOPNOTSUPP}"] * len(allowed)


def test_numbers_newer_than_the_profile_are_enosys(calls: Calls) -> None:
    known = rule("futex_waitv")  # 449
    assert calls(strict(known), 448, 450, UNKNOWN) == ["errno 1", "errno 38", "errno 38"]
    assert calls(strict(known, defaultErrnoRet=38), 448) == ["errno 38"]
    log = profile("LOG", known)
    assert calls(log, UNKNOWN) == ["errno 38"]  # the kernel's own


@needs_x86_64
def test_architectures(calls: Calls) -> None:
    made = profile("ALLOW", rule("mkdirat", "ERRNO"))
    i386_mkdirat = "i386:296"
    assert calls(made, MKDIRAT, i386_mkdirat, "x32:258") == ["errno 1", *["killed by 31"] * 2]
    made["architectures"] = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
    assert calls(made, MKDIRAT, i386_mkdirat, "x32:258") == ["errno 1"] * 3
    made["architectures"] = ["SCMP_ARCH_X86"]
    assert calls(made, MKDIRAT, i386_mkdirat) == ["errno 1"] * 2


@needs_strace
@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (None, "SECCOMP_FILTER_FLAG_SPEC_ALLOW"),
        ([], "0"),
        (["LOG"], "SECCOMP_FILTER_FLAG_LOG"),
        (["TSYNC", "SPEC_ALLOW"], "SECCOMP_FILTER_FLAG_TSYNC|SECCOMP_FILTER_FLAG_SPEC_ALLOW"),
        (["WAIT_KILLABLE_RECV"], "0"),
    ],
)
def test_flags(
    runtime: Runtime, bundle: MakeBundle, tmp_path: Path, flags: list[str] | None, words: str
) -> None:
    made = bundle()
    made.config["linux"]["seccomp"] = seccomp = profile("ALLOW", rule("mkdirat", "ERRNO"))
    if flags is not None:
        seccomp["flags"] = [f"SECCOMP_FILTER_FLAG_{flag}" for flag in flags]
    trace = tmp_path / "trace"
    wrapper = ("strace", "-f", "-qq", "-e", "trace=seccomp", "-o", str(trace))
    result = runtime.run(made, wrapper=wrapper).check()
    loaded = [line for line in trace.read_text().splitlines() if "{len=" in line]
    assert len(loaded) == 1
    assert f"SECCOMP_SET_MODE_FILTER, {words}, {{len=" in loaded[0]
    assert ("WAIT_KILLABLE_RECV" in result.stderr) == (words == "0" and bool(flags))


@pytest.mark.parametrize("no_new_privs", [True, False])
@pytest.mark.parametrize("uid", [0, 1000])
def test_one_filter_is_loaded_whoever_the_process_is(
    runtime: Runtime, bundle: MakeBundle, no_new_privs: bool, uid: int
) -> None:
    made = bundle(process={"noNewPrivileges": no_new_privs, "user": {"uid": uid, "gid": uid}})
    made.config["linux"]["seccomp"] = strict()
    text = runtime.run_output(made, ["/bin/cat", "/proc/self/status"])
    lines = dict(line.split(":\t") for line in text.splitlines() if ":\t" in line)
    assert (lines["Seccomp"], lines["Seccomp_filters"]) == ("2", "1")
    assert lines["NoNewPrivs"] == str(int(no_new_privs))
    assert lines["CapEff"] == ("0000000000000000" if uid else lines["CapBnd"])


def test_in_a_user_namespace(calls: Calls, bundle: MakeBundle, runtime: Runtime) -> None:
    mappings = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    made = bundle(["/bin/mkdir", "/tmp/x"])
    made.add_namespace("user")
    made.config["linux"].update(uidMappings=mappings, gidMappings=mappings, seccomp=strict())
    result = runtime.run(made)
    assert result.status == 1
    assert "Operation not permitted" in result.stderr


def test_a_created_container_waits_without_the_filter(runtime: Runtime, bundle: MakeBundle) -> None:
    """It is loaded as late as possible: by `start`."""
    made = bundle(["/bin/sleep", "100"])
    made.config["linux"]["seccomp"] = strict()
    container = runtime.create(made).check().container
    status = Path(f"/proc/{runtime.pid(container)}/status")
    assert "Seccomp:\t0" in status.read_text()
    runtime.start(container).check()
    assert "Seccomp:\t2" in status.read_text()


class TestExec:
    """A process that joins gets the container's filter."""

    @pytest.fixture
    def container(self, runtime: Runtime, bundle: MakeBundle, syscalls: Path) -> str:
        made = bundle(["/bin/sleep", "100"])
        made.config["linux"]["seccomp"] = strict(rule("unlinkat", "ERRNO", errnoRet=77))
        made.install(syscalls, "syscalls")
        container = runtime.up(made)
        # Later edits of the bundle change nothing.
        made.config["linux"]["seccomp"] = profile("ALLOW")
        made.write()
        return container

    def outcomes(self, runtime: Runtime, container: str, *options: str) -> list[str]:
        wanted = [f"{MKDIRAT}", f"{NUMBERS['unlinkat']}", f"{UNKNOWN}"]
        result = runtime.exec(container, "/syscalls", *wanted, options=options)
        return result.check().stdout.split("\n")[:-1]

    EXPECTED = ("errno 1", "errno 77", "errno 38")

    @pytest.mark.parametrize("options", [(), ("--user", "1000:1000"), ("--no-new-privs",)])
    def test_filter(self, runtime: Runtime, container: str, options: tuple[str, ...]) -> None:
        assert self.outcomes(runtime, container, *options) == [*self.EXPECTED]

    def test_process_file(self, runtime: Runtime, container: str, tmp_path: Path) -> None:
        process = {
            "args": ["/syscalls", str(MKDIRAT)], "cwd": "/", "user": {"uid": 5, "gid": 5},
            "noNewPrivileges": True,
        }  # fmt: skip
        file = tmp_path / "process.json"
        file.write_text(json.dumps(process))
        result = runtime.exec(container, options=("--process", str(file))).check()
        assert result.stdout == "errno 1\n"

    def test_without_the_cache(self, runtime: Runtime, container: str) -> None:
        shutil.rmtree(runtime.root / ".seccomp")
        assert self.outcomes(runtime, container) == [*self.EXPECTED]
        assert len(list((runtime.root / ".seccomp").iterdir())) == 1


@pytest.mark.parametrize(
    ("seccomp", "no_new_privs", "words"),
    [
        (profile("ALLOW", architectures=["SCMP_ARCH_PPC"]), True,
         ("linux.seccomp.architectures[0] SCMP_ARCH_PPC", "byte order", "remove it")),
        (profile("ALLOW", rule("execve", "ERRNO")), True,
         ("linux.seccomp execve", "forbids", "allow it")),
        (profile("ALLOW", rule("capset", "KILL")), False,
         ("linux.seccomp capset", "noNewPrivileges")),
        (profile("ALLOW", rule("mkdirat", "ERRNO", errnoRet=5000)), True,
         ("linux.seccomp.syscalls[0].errnoRet 5000", "at most 4094")),
        (profile("ALLOW", *[rule("mkdirat", "ERRNO", errnoRet=number,
                                 args=[condition(0, "EQ", 1)]) for number in (5, 6)]), True,
         ("linux.seccomp.syscalls[1] mkdirat", "another action", "remove one")),
        ({"defaultAction": "SCMP_ACT_NONE"}, True, ("defaultAction", "SCMP_ACT_NONE")),
        (profile("ALLOW", architectures=["SCMP_ARCH_VAX"]), True, ("architectures/0", "VAX")),
        (profile("ALLOW", flags=["SECCOMP_FILTER_FLAG_X"]), True, ("flags/0", "FLAG_X")),
    ],
)  # fmt: skip
def test_errors(
    runtime: Runtime, bundle: MakeBundle, seccomp: dict[str, Any], no_new_privs: bool,
    words: tuple[str, ...],
) -> None:  # fmt: skip
    made = bundle(process={"noNewPrivileges": no_new_privs})
    made.config["linux"]["seccomp"] = seccomp
    assert_clear(runtime, runtime.create(made), *words)


def test_unknown_names_are_a_debug_message(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle()
    made.config["linux"]["seccomp"] = strict(rule("no_such_call neither_this"))
    quiet = runtime.run(made).check()
    assert not quiet.stderr
    if runtime.is_ours:
        for _ in ("compiled", "from the cache"):
            runtime.global_options = ("--debug",)
            result = runtime.run(made).check()
            assert "libseccomp does not know no_such_call, neither_this" in result.stderr


def test_a_mistyped_name_is_a_warning_each_time(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle()
    made.config["linux"]["seccomp"] = strict(rule("opneat"))
    for _ in ("compiled", "from the cache"):
        result = runtime.run(made).check()
        if runtime.is_ours:
            assert "opneat is no system call" in result.stderr
            assert 'did you mean "openat"?' in result.stderr


@pytest.mark.parametrize("name", ["docker-01", "docker-14", "podman-01", "podman-10", "ctr-11"])
def test_profiles_of_engines(calls: Calls, name: str) -> None:
    config = json.loads((corpus() / f"{name}.json").read_text())
    seccomp = config["linux"]["seccomp"]
    default = seccomp.get("defaultErrnoRet", 1)
    named = {one: each["action"] for each in seccomp["syscalls"] for one in each["names"]}
    wanted = {"bpf": NUMBERS["bpf"], "add_key": NUMBERS["add_key"], "getpid": None}
    denied = [number for key, number in wanted.items()
              if number and named.get(key) != "SCMP_ACT_ALLOW"]  # fmt: skip
    outcomes = calls(seccomp, *denied, UNKNOWN, NUMBERS["getuid"], noNewPrivileges=True)
    assert outcomes[-2:] == ["errno 38", "0"]
    assert set(outcomes[:-2]) <= {f"errno {default}", "errno 1"}
