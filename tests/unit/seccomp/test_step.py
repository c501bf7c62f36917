"""PrepareSeccomp: from the cache or compiled, refused when the container could not start."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from ociruntime.errors import OciError, PlanError
from ociruntime.kernel.kernel import Kernel
from ociruntime.process.run import Run
from ociruntime.seccomp import cache, compiler
from ociruntime.seccomp.cache import FilterProgram
from ociruntime.seccomp.profile import NEW_LISTENER, SPEC_ALLOW, WAIT_KILLABLE_RECV, program_key
from ociruntime.steps.seccomp import PrepareSeccomp
from tests.support.model.recorder import Recorder

from .profiles import ALLOW, EPERM, KILL_PROCESS, LOG, NOTIFY, TRACE, TRAP, profile, rule

CODE = b"\6\0\0\0\0\0\xff\x7f"


class Refusing(Kernel):
    """A kernel that knows none of the flags."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.calls: list[tuple[Any, ...]] = []

    def invoke(self, name: str, *args: Any) -> int:
        self.calls.append((name, *args))
        raise OSError(self.number, "")


def program(**returned: int) -> FilterProgram:
    made = FilterProgram(CODE, "", (0, 0, 0))
    for name in ("execve", "capset", "prctl", "sendmsg"):
        setattr(made, name, returned.get(name, ALLOW))
    return made


def prepare(
    root: Path,
    asked: dict[str, Any],
    made: FilterProgram | None = None,
    *,
    no_new_privs: bool = True,
    kernel: Kernel | None = None,
) -> Run:
    """Execute the step with ``made`` in the cache."""
    if made is not None:
        cache.store(str(root), program_key(asked), made)
    run = Run(kernel or Recorder(), [])
    PrepareSeccomp(asked, str(root), no_new_privs=no_new_privs).execute(run)
    return run


def test_a_program_of_the_cache_is_not_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(compiler, "compile_program")
    assert prepare(tmp_path, profile("ERRNO"), program()).seccomp == (CODE, SPEC_ALLOW)


def test_an_unknown_program_is_compiled_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiler, "compile_program", lambda _: program())
    assert prepare(tmp_path, profile("ERRNO")).seccomp == (CODE, SPEC_ALLOW)
    assert cache.load(str(tmp_path), program_key(profile("ERRNO"))) is not None


def test_a_root_that_cannot_be_written_is_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiler, "compile_program", lambda _: program())
    (tmp_path / cache.DIRECTORY).write_text("")
    run = prepare(tmp_path, profile("ERRNO"))
    assert run.seccomp == (CODE, SPEC_ALLOW)
    assert run.notes == [f"{tmp_path}/.seccomp: Not a directory: the seccomp program is not kept"]
    assert not run.warnings


def test_skipped_names_are_a_note_each_time(tmp_path: Path) -> None:
    made = program()
    made.skipped = {"one": "", "opneat": "openat", "two": ""}
    run = prepare(tmp_path, profile("ERRNO"), made)
    assert run.notes == ["linux.seccomp.syscalls: libseccomp does not know one, two: left out"]
    assert run.warnings == [
        (
            "linux.seccomp.syscalls: opneat is no system call, the rule for it is left out; "
            'did you mean "openat"?'
        )
    ]


@pytest.mark.parametrize("returned", [EPERM, KILL_PROCESS, 0, TRAP, TRACE])
def test_a_filter_without_execve_is_refused(tmp_path: Path, returned: int) -> None:
    with pytest.raises(OciError, match=r"linux.seccomp execve: the filter forbids it.*allow it"):
        prepare(tmp_path, profile("ERRNO"), program(execve=returned))


@pytest.mark.parametrize("returned", [ALLOW, LOG, NOTIFY])
def test_execve_may_be_logged_or_notified(tmp_path: Path, returned: int) -> None:
    prepare(tmp_path, profile("ERRNO"), program(execve=returned))


@pytest.mark.parametrize("name", ["capset", "prctl"])
def test_what_drops_privileges_must_be_allowed_without_no_new_privs(
    tmp_path: Path, name: str
) -> None:
    made = program(**{name: EPERM})
    prepare(tmp_path, profile("ERRNO"), made)
    with pytest.raises(OciError, match=f"linux.seccomp {name}: .*or set noNewPrivileges"):
        prepare(tmp_path, profile("ERRNO"), made, no_new_privs=False)


@pytest.mark.parametrize("returned", [NOTIFY, EPERM])
def test_the_listener_must_get_out(tmp_path: Path, returned: int) -> None:
    made = program(sendmsg=returned)
    prepare(tmp_path, profile("ERRNO"), made)
    asked = profile("ERRNO", rule("mkdir", "NOTIFY"), listenerPath="/s")
    with pytest.raises(OciError, match=r"linux.seccomp sendmsg: .*listener of SCMP_ACT_NOTIFY"):
        prepare(tmp_path, asked, made)


FLAG = "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"
KILLABLE = profile("ALLOW", rule("mkdir", "NOTIFY"), listenerPath="/s",
                   flags=["SECCOMP_FILTER_FLAG_LOG", FLAG])  # fmt: skip


def test_a_flag_that_the_kernel_does_not_know(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=rf"flags\[1\] {FLAG}: this kernel.* remove it") as caught:
        prepare(tmp_path, KILLABLE, program(), kernel=Refusing(errno.EINVAL))
    assert caught.value.pointer == "/linux/seccomp/flags/1"


def test_a_flag_that_the_kernel_knows(tmp_path: Path) -> None:
    kernel = Refusing(errno.EFAULT)
    run = prepare(tmp_path, KILLABLE, program(), kernel=kernel)
    flags = NEW_LISTENER | WAIT_KILLABLE_RECV | 2
    assert run.seccomp == (CODE, flags)
    assert kernel.calls == [("seccomp", 1, flags, None)]


def test_the_plan_shows_it_without_libseccomp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(compiler, "compile_program")
    asked = profile("ERRNO", rule("a b"), rule("c", "LOG"), architectures=["X86_64"])
    step = PrepareSeccomp(asked, "/state", no_new_privs=True)
    assert step.describe().endswith("SCMP_ACT_ERRNO, rules for 3 names")
    shown = step.as_dict()
    assert shown["pointer"] == "/linux/seccomp"
    assert shown["operands"] == {
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X86_64"],
        "rules": 2,
        "flags": SPEC_ALLOW,
        "program": f"/state/.seccomp/{program_key(asked)}",
    }
