"""Writes the manual pages: ociruntime(8), one for each command, and ociruntime-net(5) for the hook.

pages.py DIRECTORY prints the names of the files that it wrote there.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from commands import Command, Option, commands, version

FILES = (
    ("/run/ociruntime", "states of containers (--root), of root"),
    ("$XDG_RUNTIME_DIR/ociruntime", "the same for other users"),
    ("/etc/ociruntime/networks", "network configurations for --net NAME"),
)
# Programs that are one of these under another name.
SAME = {
    "containerd-shim-ociruntime-v1": "ociruntime-shim",
    "ociruntime-bridge": "ociruntime-net",
    "ociruntime-ipam": "ociruntime-net",
}
STATUS = (
    "0 on success, 1 on failure. run and exec: that of the program, 128 + N after signal N;"
    " exec: 255 when the program could not be run."
)
HOOK = r"""ociruntime-net is a hook: as createRuntime it puts a container on networks, as poststop
it takes it off. The runtime gives it the state on standard input; everything else is in its
arguments, which \fBociruntime spec --net\fR writes. It works with any runtime.
.SH ARGUMENTS
.TP
\fB--network\fR \fINAME\fR|\fIFILE\fR
bridge, or a CNI configuration: a file, or a name that is looked for in /etc/ociruntime/networks and
/etc/cni/net.d; may be repeated: eth0, eth1, ...
.TP
\fB--publish\fR [\fIIP\fR:]\fIHOST\fR:\fICONTAINER\fR[/udp]
lead a port of the host into the container; may be repeated
.SH EXAMPLE
.nf
"hooks": {
    "createRuntime": [{"path": "/usr/local/bin/ociruntime-net",
                       "args": ["ociruntime-net", "--network", "bridge", "--publish", "8080:80"]}],
    "poststop": [{"path": "/usr/local/bin/ociruntime-net", "args": ["ociruntime-net"]}]
}
.fi
"""


def escaped(text: str) -> str:
    """`text` for roff: no character of it is a command."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("`", "\\(ga")
    return f"\\&{text}" if text[:1] in (".", "'") else text


def paragraph(text: str) -> str:
    """A sentence out of a table."""
    return escaped(text[:1].upper() + text[1:]) + ("" if text.endswith(".") else ".")


def option_lines(options: Iterable[Option]) -> list[str]:
    """The section of options."""
    lines = []
    for option in options:
        names = [f"\\fB\\-{letter}\\fR" for letter in option.letters]
        names.append(f"\\fB\\-\\-{escaped(option.name)}\\fR")
        value = f" \\fI{escaped(option.value)}\\fR" if option.value else ""
        lines += [".TP", ", ".join(names) + value, escaped(option.meaning)]
    return lines


def page(name: str, section: int, summary: str, body: Iterable[str]) -> str:
    """One page with the head that each has."""
    head = [
        f'.TH {name.upper()} {section} "" "ociruntime {version()}" "System Administration"',
        ".SH NAME",
        f"{escaped(name)} \\- {escaped(summary)}",
    ]
    return "\n".join([*head, *body]) + "\n"


def of_command(command: Command) -> str:
    """The page of one command."""
    shown = " [\\fIOPTIONS\\fR]" if command.options else ""
    body = [
        ".SH SYNOPSIS",
        f"\\fBociruntime {escaped(command.name)}\\fR{shown} {escaped(command.arguments)}".rstrip(),
        ".SH DESCRIPTION",
        paragraph(command.summary),
    ]
    if command.note:
        body += [".PP", escaped(command.note)]
    if command.options:
        body += [".SH OPTIONS", *option_lines(command.options)]
    body += [".SH SEE ALSO", "\\fBociruntime\\fR(8)"]
    return page(f"ociruntime-{command.name}", 8, command.summary, body)


def of_program(first: Command, others: list[Command]) -> str:
    """The page that leads to all others."""
    body = [
        ".SH SYNOPSIS",
        f"\\fBociruntime\\fR [\\fIOPTIONS\\fR] {escaped(first.arguments)}",
        ".SH DESCRIPTION",
        "Makes an isolated process of a bundle (config.json and a root filesystem), as the OCI",
        "runtime specification says. Engines call it; so can people.",
        ".SH COMMANDS",
    ]
    for command in others:
        body += [
            ".TP",
            f"\\fB{escaped(command.name)}\\fR {escaped(command.arguments)}".rstrip(),
            f"{paragraph(command.summary)} See \\fBociruntime\\-{escaped(command.name)}\\fR(8).",
        ]
    body += [".SH OPTIONS", *option_lines(first.options), ".SH FILES"]
    for path, meaning in FILES:
        body += [".TP", f"\\fI{escaped(path)}\\fR", escaped(meaning)]
    body += [".SH EXIT STATUS", escaped(STATUS)]
    body += [".SH SEE ALSO", "\\fBociruntime\\-net\\fR(5)"]
    return page("ociruntime", 8, first.summary, body)


def main(arguments: list[str]) -> int:
    """Write all pages to the directory `arguments[0]`."""
    directory = Path(arguments[0])
    directory.mkdir(parents=True, exist_ok=True)
    first, *others = commands()
    pages = {"ociruntime.8": of_program(first, others)}
    pages |= {f"ociruntime-{command.name}.8": of_command(command) for command in others}
    hook = "the hook that puts a container on networks"
    pages["ociruntime-net.5"] = page(
        "ociruntime-net", 5, hook, [".SH DESCRIPTION", HOOK.rstrip(), ".SH SEE ALSO",
                                    "\\fBociruntime\\-net\\fR(8), \\fBociruntime\\-spec\\fR(8)"],
    )  # fmt: skip
    pages |= {f"{name}.8": f".so man8/{other}.8\n" for name, other in SAME.items()}
    for name, text in pages.items():
        (directory / name).write_text(text)
        print(directory / name)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
