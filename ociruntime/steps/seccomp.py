"""linux.seccomp: the program is ready before any process exists; oci-init loads it last of all."""

from __future__ import annotations

from ociruntime.errors import PlanError, StepError
from ociruntime.process.step import Step
from ociruntime.seccomp import cache
from ociruntime.seccomp.profile import (
    NEW_LISTENER,
    WAIT_KILLABLE_RECV,
    filter_flags,
    program_key,
)

TYPE_CHECKING = False
if TYPE_CHECKING:

    from ociruntime.process.run import Run
    from ociruntime.seccomp.cache import FilterProgram
    from ociruntime.seccomp.stored import StoredFilter
    from ociruntime.spec.documents import SeccompConfig
    from ociruntime.state.store import Container

POINTER = "/linux/seccomp"
# What a container's state says of its filter: the program's key in the cache, and the flags.
# linux/seccomp.h SECCOMP_RET_*, without data: what lets a call of oci-init happen.
ALLOW, LOG, USER_NOTIFY = 0x7FFF0000, 0x7FFC0000, 0x7FC00000
ACTION_MASK = 0xFFFF0000


class PrepareSeccomp(Step):
    """Have the filter's program ready in ``run.seccomp``: from the cache, or compiled.

    Parameters: ``root`` is the state directory that the cache lies in, ``no_new_privs`` whether
    the process sets it: the filter is loaded after everything else then. ``strict`` refuses names
    that libseccomp does not know.
    """

    __slots__ = ("no_new_privs", "profile", "root", "strict")

    kind = "prepare-seccomp"

    def __init__(
        self, profile: SeccompConfig, root: str, *, no_new_privs: bool, strict: bool = False
    ) -> None:
        super().__init__(POINTER, "linux.seccomp")
        self.profile = profile
        self.root = root
        self.no_new_privs = no_new_privs
        self.strict = strict

    def describe(self) -> str:
        count = sum(len(rule["names"]) for rule in self.profile.get("syscalls", ()))
        return (
            f"prepare the system call filter: {self.profile['defaultAction']}, "
            f"rules for {count} names"
        )

    def operands(self) -> dict[str, object]:
        warnings: list[str] = []
        return {
            "defaultAction": self.profile["defaultAction"],
            "architectures": list(self.profile.get("architectures", ())),
            "rules": len(self.profile.get("syscalls", ())),
            "flags": filter_flags(self.profile, warnings),
            "program": f"{self.root}/{cache.DIRECTORY}/{program_key(self.profile)}",
        }

    def execute(self, run: Run) -> None:
        flags = filter_flags(self.profile, run.warnings)
        key = program_key(self.profile)
        program = cache.load(self.root, key)
        if program is None:
            program = self._compile(run, key)
        if program.skipped:
            if self.strict:
                names = ", ".join(program.skipped)
                raise PlanError(
                    f"linux.seccomp.syscalls: no system call of this libseccomp: {names}",
                    f"{POINTER}/syscalls",
                    "correct them, or leave run.oci.seccomp_fail_unknown_syscall out",
                )
            tell_of_unknown_names(run, program.skipped)
        refuse_what_cannot_start(program, flags, no_new_privs=self.no_new_privs)
        if flags & WAIT_KILLABLE_RECV and not run.kernel.knows_seccomp_flags(flags):
            index = self.profile["flags"].index("SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV")
            raise PlanError(
                f"linux.seccomp.flags[{index}] SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV: this kernel "
                "does not know it, Linux 5.19 does",
                f"{POINTER}/flags/{index}",
                "remove it",
            )
        run.seccomp = (program.code, flags)
        if run.container is not None:
            run.container.data["seccomp_program"] = {"program": key, "flags": flags}

    def _compile(self, run: Run, key: str) -> FilterProgram:
        from ociruntime.seccomp.compiler import compile_program

        program = compile_program(self.profile)
        try:
            cache.store(self.root, key, program)
        except OSError as error:
            where = f"{self.root}/{cache.DIRECTORY}"
            run.notes.append(f"{where}: {error.strerror}: the seccomp program is not kept")
        return program


def tell_of_unknown_names(run: Run, names: dict[str, str]) -> None:
    """Typing errors are a warning. Other names that libseccomp does not know are a note: profiles
    name calls of all kernels and architectures.
    """
    run.warnings += [
        f"linux.seccomp.syscalls: {name} is no system call, the rule for it is left out; "
        f'did you mean "{meant}"?'
        for name, meant in names.items()
        if meant
    ]
    others = ", ".join(name for name, meant in names.items() if not meant)
    if others:
        run.notes.append(f"linux.seccomp.syscalls: libseccomp does not know {others}: left out")


class ReuseSeccomp(Step):
    """The same for one more process of a container: its program is in the cache, as a rule, and
    what the container's state says of it is enough to find it there.

    Parameters: ``saved`` is that part of the state, ``no_new_privs`` as for ``PrepareSeccomp``.
    """

    __slots__ = ("container", "no_new_privs", "saved")

    kind = "reuse-seccomp"

    def __init__(self, container: Container, saved: StoredFilter, *, no_new_privs: bool) -> None:
        super().__init__(POINTER, "linux.seccomp")
        self.container = container
        self.saved = saved
        self.no_new_privs = no_new_privs

    def describe(self) -> str:
        return "take the container's system call filter"

    def operands(self) -> dict[str, object]:
        return dict(self.saved)

    def execute(self, run: Run) -> None:
        root, flags = self.container.store.root, self.saved["flags"]
        program = cache.load(root, self.saved["program"])
        if program is None:
            profile = self.container.config()["linux"]["seccomp"]
            PrepareSeccomp(profile, root, no_new_privs=self.no_new_privs).execute(run)
            return
        refuse_what_cannot_start(program, flags, no_new_privs=self.no_new_privs)
        run.seccomp = (program.code, flags)


def refuse_what_cannot_start(
    program: FilterProgram, flags: int, *, no_new_privs: bool, what: str = "linux.seccomp"
) -> None:
    """The calls that oci-init makes with the filter loaded: without them nothing would start,
    and not even that could be said. ``what`` is where the filter comes from.
    """
    needed = [("execve", program.execve)]
    if not no_new_privs:
        needed += [("capset", program.capset), ("prctl", program.prctl)]
    if flags & NEW_LISTENER:
        needed.append(("sendmsg", program.sendmsg))
    for name, returned in needed:
        action = returned & ACTION_MASK
        # Whoever answers notifications has the listener by then, which sendmsg brought.
        answered = action == USER_NOTIFY and name != "sendmsg"
        if action not in (ALLOW, LOG) and not answered:
            raise StepError(f"{what} {name}", 0, _cure(name))


def _cure(name: str) -> str:
    if name == "execve":
        return "the filter forbids it, but the program is started with it; allow it"
    if name == "sendmsg":
        return (
            "the filter forbids or notifies it, but the listener of SCMP_ACT_NOTIFY is sent with "
            "it; allow it"
        )
    return (
        "the filter forbids it, but without process.noNewPrivileges it is called after the filter "
        "is loaded; allow it, or set noNewPrivileges"
    )
