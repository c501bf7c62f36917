"""ociruntime doctor [--rootless] [--json] [--width COLUMNS]"""

from __future__ import annotations

import json

from ociruntime.arguments import FLAG, VALUE, parse
from ociruntime.cli.output import say
from ociruntime.doctor import (
    ABSENT,
    FAILED,
    OK,
    WARNING,
    Finding,
    Machine,
    cgroups,
    kernel,
    programs,
    users,
)
from ociruntime.errors import UsageError
from ociruntime.screen import BOLD, DIM, GREEN, RED, YELLOW, Screen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ociruntime.cli.main import Globals

OPTIONS = {"rootless": FLAG, "json": FLAG, "width": VALUE}
ALIASES: dict[str, str] = {}
COLOURS = {OK: GREEN, ABSENT: DIM, WARNING: YELLOW, FAILED: RED}
CHECKS: tuple[Callable[[Machine], list[Finding]], ...] = (
    kernel.version,
    kernel.namespaces,
    cgroups.layout,
    cgroups.systemd,
    kernel.seccomp,
    kernel.security_modules,
    kernel.mapped_mounts,
    users.ranges,
    users.helpers,
    users.directory,
    users.proc,
    programs.firewall,
    programs.network_plugins,
    programs.network_library,
    programs.checkpoint,
    programs.start_image,
)


def main(words: list[str], _globals: Globals) -> int:
    """Print what works on this host and what does not; 1 if containers cannot be made."""
    options = parse(words, OPTIONS, ALIASES, stop_at_argument=False, command="doctor")
    if options.arguments:
        raise UsageError("doctor: takes no arguments; see `ociruntime doctor --help`")
    machine = Machine(rootless=options.flag("rootless"))
    findings = examine(machine)
    if options.flag("json"):
        document = {
            "rootless": machine.rootless,
            "works": works(findings),
            "findings": [finding.as_dict() for finding in findings],
        }
        text = json.dumps(document, indent=2) + "\n"
    else:
        text = as_text(findings, machine, Screen.of(options.number("width")))
    say(text.encode("utf-8", "backslashreplace"))
    return 0 if works(findings) else 1


def examine(machine: Machine) -> list[Finding]:
    """Everything that is found out about a host."""
    return [finding for check in CHECKS for finding in check(machine)]


def works(findings: list[Finding]) -> bool:
    """Whether containers can be made."""
    return not any(finding.outcome == FAILED for finding in findings)


def as_text(findings: list[Finding], machine: Machine, screen: Screen) -> str:
    """The findings for people, with what cures each, and how many there are."""
    width = max(len(finding.subject) for finding in findings)
    words = max(map(len, COLOURS))
    who = "an ordinary user's containers" if machine.rootless else "root's containers"
    lines = [f"for {who}:", ""]
    for finding in findings:
        word = screen.mark(finding.outcome, COLOURS[finding.outcome])
        head = f"  {word}{' ' * (words - len(finding.outcome))}  "
        below = " " * (words + width + 6)
        told = screen.paragraph(f"{finding.message}", below) or [below]
        name = screen.mark(finding.subject.ljust(width), BOLD)
        lines += [f"{head}{name}  {told[0].lstrip()}", *told[1:]]
        if finding.cure and finding.outcome != OK:
            # Not broken: it is there to be copied.
            lines.append(f"{' ' * (words + 4)}{screen.mark('cure:', DIM)} {finding.cure}")
    outcomes = [finding.outcome for finding in findings]
    counts = [f"{outcomes.count(outcome)} {outcome}" for outcome in COLOURS]
    verdict = "containers can be made" if works(findings) else "no containers can be made"
    return "".join(line + "\n" for line in [*lines, "", f"{verdict}: {', '.join(counts)}"])
