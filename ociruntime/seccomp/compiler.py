"""From linux.seccomp to a program for seccomp(2), with libseccomp (config-linux.md#seccomp).

Not on the hot path: imported when the cache has no program for a profile.
"""

from __future__ import annotations

import errno

from ociruntime import hostos as os
from ociruntime.errors import OciError, PlanError
from ociruntime.kernel.libseccomp import UNKNOWN, Library
from ociruntime.seccomp import bpf
from ociruntime.seccomp.cache import FilterProgram, file_stamp
from ociruntime.seccomp.conditions import is_wide
from ociruntime.seccomp.owncalls import note_own_calls
from ociruntime.seccomp.prelude import ENOSYS, X86_64, Table, prelude
from ociruntime.spec.callnames import known_names, probably_meant
from ociruntime.spec.newercalls import LAST_DIRECT, NUMBERS, base_of
from ociruntime.spec.tables import (
    SECCOMP_ACTIONS,
    SECCOMP_ACTIONS_WITH_VALUE,
    SECCOMP_ARCHITECTURES,
    SECCOMP_OPERATORS,
)

TYPE_CHECKING = False
if TYPE_CHECKING:

    from ociruntime.kernel.libseccomp import Filter
    from ociruntime.seccomp.conditions import Condition
    from ociruntime.spec.documents import SeccompConfig, SyscallArgConfig, SyscallConfig

POINTER = "/linux/seccomp"
# Default actions that make a program fail where it could do without a new system call.
REFUSALS = (bpf.RET_ERRNO, SECCOMP_ACTIONS["SCMP_ACT_KILL"], bpf.RET_KILL_PROCESS,
            SECCOMP_ACTIONS["SCMP_ACT_TRAP"])  # fmt: skip
DEFAULT_ERRNO = errno.EPERM
# libseccomp refuses more; the kernel has no larger one (MAX_ERRNO is 4095).
LARGEST_ERRNO = 4094


def compile_program(profile: SeccompConfig) -> FilterProgram:
    """The program of ``profile``, which is valid.

    Names of system calls that nobody knows are left out and listed in the program (in runc and
    crun, too: profiles name calls of all kernels and architectures). Raises ``OciError``:
    libseccomp is missing, cannot express a rule, or the program is longer than the kernel takes.
    """
    return _Compiler(profile, Library()).compile()


def action_of(name: str, value: int | None, member: str) -> int:
    """SECCOMP_RET_* with its data; ERRNO and TRACE without a value carry EPERM.

    Parameters: ``member`` is where the value stands, as in ``syscalls[3].errnoRet``. Raises
    ``PlanError`` for a value that is no errno.
    """
    action = SECCOMP_ACTIONS[name]
    if name not in SECCOMP_ACTIONS_WITH_VALUE:
        return action
    if value is not None and value > LARGEST_ERRNO and name == "SCMP_ACT_ERRNO":
        raise PlanError(
            f"linux.seccomp.{member} {value}: an errno is at most {LARGEST_ERRNO}",
            f"{POINTER}/{member}".replace("[", "/").replace("].", "/"),
            "use one of errno(3), usually 1 (EPERM) or 38 (ENOSYS)",
        )
    return action | (DEFAULT_ERRNO if value is None else value)


class _Compiler:
    def __init__(self, profile: SeccompConfig, library: Library) -> None:
        self.profile = profile
        self.library = library
        self.native = library.native() & 0xFFFFFFFF
        self.default = action_of(
            profile["defaultAction"], profile.get("defaultErrnoRet"), "defaultErrnoRet"
        )
        self.rules: list[SyscallConfig] = profile.get("syscalls", [])
        self.actions = [
            action_of(rule["action"], rule.get("errnoRet"), f"syscalls[{index}].errnoRet")
            for index, rule in enumerate(self.rules)
        ]
        # Names that a rule without conditions is about.
        self.plain = {
            name
            for rule, action in zip(self.rules, self.actions, strict=True)
            if not rule.get("args") and action != self.default
            for name in rule["names"]
        }
        self.skipped: dict[str, None] = {}
        # By libseccomp's token.
        self.tables: dict[int, Table] = {}

    def compile(self) -> FilterProgram:
        try:
            made = self.library.filter(self.default)
        except OSError:
            raise OciError(
                f"linux.seccomp.defaultAction {self.profile['defaultAction']}: libseccomp or this "
                "kernel cannot do it; is CONFIG_SECCOMP_FILTER on?"
            ) from None
        with made:
            # As a list, the program would be a fifth shorter and take the kernel longer than all
            # the rest of us: it runs the program for every number of an architecture when it is
            # loaded (kernel/seccomp.c, seccomp_cache_prepare). And trees are what our tests prove.
            made.use_tree()
            self._add_architectures(made)
            for index, rule in enumerate(self.rules):
                self._add(made, index, rule)
            code = made.export()
        self._add_newer()
        for table in self.tables.values():
            for rules in table.decided.values():
                rules.append(((), self.default))
        action = self.default & bpf.RET_ACTION
        future = action in REFUSALS and self.default != ENOSYS
        code = prelude(list(self.tables.values()), future=future) + code
        if len(code) // 8 > bpf.LONGEST:
            raise PlanError(
                f"linux.seccomp: the filter has {len(code) // 8} instructions, the kernel takes "
                f"{bpf.LONGEST}",
                POINTER,
                "name fewer architectures or system calls",
            )
        return self._describe(code)

    def _add_architectures(self, made: Filter) -> None:
        self._add_table(self.native)
        for index, name in enumerate(self.profile.get("architectures", ())):
            token = SECCOMP_ARCHITECTURES[name]
            if token in self.tables:
                continue
            try:
                made.add_architecture(token)
            except OSError as error:
                why = f"libseccomp {self.library.version()} does not know it; install a newer one"
                if error.errno == errno.EDOM:
                    why = "its byte order is not this machine's"
                raise PlanError(
                    f"linux.seccomp.architectures[{index}] {name}: {why}",
                    f"{POINTER}/architectures/{index}",
                    "or remove it" if error.errno != errno.EDOM else "remove it",
                ) from None
            self._add_table(token)

    def _add_table(self, token: int) -> None:
        names = {number: name for name, number in SECCOMP_ARCHITECTURES.items()}
        x32 = token == SECCOMP_ARCHITECTURES["SCMP_ARCH_X32"]
        audit, base = X86_64 if x32 else token, base_of(names.get(token, ""))
        self.tables[token] = Table(audit, base, wide=is_wide(token))

    def _add(self, made: Filter, index: int, rule: SyscallConfig) -> None:
        action = self.actions[index]
        choices = _conditions(rule.get("args", []))
        for name in rule["names"]:
            number = self._note(name)
            # libseccomp refuses rules that say what the default says.
            if number == UNKNOWN or action == self.default:
                continue
            # One without conditions outweighs those with, wherever it stands.
            if rule.get("args") and (name in self.plain or self._decide(index, name, choices)):
                continue
            try:
                for conditions in choices:
                    made.add_rule(action, number, conditions)
            except OSError as error:
                raise self._refused(index, name, error) from None

    def _decide(self, index: int, name: str, choices: list[list[Condition]]) -> bool:
        """Add a rule with conditions to the tables; whether that was all there is to do.

        It is not where the call is a part of socketcall(2) or ipc(2): libseccomp knows these.
        """
        complete = True
        for token, table in self.tables.items():
            number = self.library.resolve(token, name)
            if number < 0:
                complete &= not -1000 < number < UNKNOWN
                continue
            rules = table.decided.setdefault(number, [])
            for conditions in choices:
                ordered = sorted(conditions)
                for others, action in rules:
                    if ordered == others and action != self.actions[index]:
                        raise self._refused(index, name, OSError(errno.EEXIST, ""))
                rules.append((ordered, self.actions[index]))
        return complete

    def _note(self, name: str) -> int:
        """The native number of a system call; notes it in every table that has it."""
        for token, table in self.tables.items():
            number = self.library.resolve(token, name)
            if number >= 0:
                table.highest = max(table.highest, number)
            elif -1000 < number < UNKNOWN:
                # A part of socketcall(2) or ipc(2), which has a number of its own as well.
                table.highest = max(table.highest, table.base + LAST_DIRECT)
        number = self.library.resolve(self.native, name)
        if number == UNKNOWN and name not in NUMBERS:
            self.skipped[name] = None
        return number

    def _add_newer(self) -> None:
        """Rules about system calls that only we know go into the prelude: those without args."""
        seen: dict[str, int] = {}
        for rule, action in zip(self.rules, self.actions, strict=True):
            for name in rule["names"]:
                if name not in NUMBERS or self.library.resolve(self.native, name) != UNKNOWN:
                    continue
                if rule.get("args"):
                    self.skipped[name] = None
                seen.setdefault(name, action)
        for name, action in seen.items():
            if name in self.skipped:
                continue
            for table in self.tables.values():
                number = table.base + NUMBERS[name]
                table.highest = max(table.highest, number)
                if action != self.default:
                    table.rules.append((number, action))

    def _refused(self, index: int, name: str, error: OSError) -> OciError:
        label = f"linux.seccomp.syscalls[{index}] {name}"
        pointer = f"{POINTER}/syscalls/{index}"
        if error.errno == errno.EEXIST:
            return PlanError(
                f"{label}: an earlier rule has the same args and another action",
                pointer,
                "remove one of them",
            )
        action = self.rules[index]["action"]
        return PlanError(
            f"{label}: libseccomp {self.library.version()} refuses {action} with these args "
            f"({os.strerror(error.errno or 0)})",
            pointer,
            "remove the rule",
        )

    def _describe(self, code: bytes) -> FilterProgram:
        path = self.library.path()
        program = FilterProgram(code, path, file_stamp(path))
        if self.skipped:
            known = known_names(self.library)
            program.skipped = {
                name: "" if name in known else probably_meant(name, known) for name in self.skipped
            }
        note_own_calls(program, self.native, lambda name: self.library.resolve(self.native, name))
        return program


def _conditions(args: list[SyscallArgConfig]) -> list[list[Condition]]:
    """The conditions of a rule, as one or several rules of libseccomp.

    All conditions must hold, but libseccomp takes one an argument. Where an argument has several,
    each condition is a rule of its own, and one that holds is enough: so runc and crun read it, and
    profiles are written for them.
    """
    conditions = [
        (arg["index"], SECCOMP_OPERATORS[arg["op"]], arg["value"], arg.get("valueTwo", 0))
        for arg in args
    ]
    if len({condition[0] for condition in conditions}) < len(conditions):
        return [[condition] for condition in conditions]
    return [conditions]
