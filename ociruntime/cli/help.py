"""What --help prints. The options come from the tables the parsers use; here is only what they
mean.
"""

from __future__ import annotations

from ociruntime import SPEC_VERSION, __version__
from ociruntime.arguments import FLAG
from ociruntime.similar import nearest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

WIDTH = 100

# verb -> (arguments, what it does in one line)
SUMMARIES = {
    "create": ("ID", "make a container from a bundle; its process waits for `start`"),
    "start": ("ID", "execute the process of a created container"),
    "run": ("ID", "create, start, stay until the process ends, delete"),
    "exec": ("ID COMMAND [ARGUMENT...]", "run one more process in a running container"),
    "state": ("ID", "print a container's state as JSON"),
    "kill": ("ID [SIGNAL]", "send a signal to a container's process, TERM unless another is named"),
    "delete": ("ID", "remove a container that has stopped, or that was created only"),
    "list": ("", "print all containers under --root"),
    "ps": ("ID [PS OPTIONS]", "print the processes of a container"),
    "pause": ("ID", "stop every process of a container until `resume`"),
    "resume": ("ID", "let a paused container go on"),
    "update": ("ID", "change the limits of a container"),
    "checkpoint": ("ID", "write a container's processes into files, by CRIU, and remove it"),
    "restore": ("ID", "make a container of a bundle and of what `checkpoint` has written"),
    "mounts": (
        "add | remove ID FILE",
        "mount in a running container, or unmount: the entries of config.json's `mounts` in FILE",
    ),
    "events": ("ID", "print what a container uses, again and again, and when memory runs out"),
    "top": ("", "show what all containers use, live on a terminal"),
    "metrics": ("", "print what all containers use, as OpenMetrics text"),
    "net": (
        "ls | inspect [NAME|ID] | check [NAME|FILE]... | gc",
        "networks: who is on them, what is published; remove what dead containers left",
    ),
    "spec": (
        "[-- COMMAND [ARGUMENT...]]",
        "write a config.json to begin with; an existing file is left alone",
    ),
    "validate": (
        "[FILE|DIR]...",
        "list every fault of config.json files, with its place and its cure",
    ),
    "explain": (
        "[POINTER|WORD]...",
        "say what a property or a word of config.json means, and what it does in the kernel",
    ),
    "plan": (
        "[ID | --of ID | --diff A B | exec ID COMMAND... | update ID | delete ID]",
        "print the steps that a command would take, and take none of them",
    ),
    "trace": ("FILE", "draw what --trace has written: what every step of a command cost"),
    "shim": ("", "containerd's shim: it starts this as containerd-shim-ociruntime-v1"),
    "doctor": ("", "say what of this host works, what does not, and what cures it"),
    "image": (
        "[show | refresh]",
        "say whether commands start from the start image, or make that anew",
    ),
    "features": ("", "print what this runtime can do, as JSON"),
    "zygote": ("", "serve a program that uses the Python library, which starts it (docs/api.md)"),
}

# option -> (name of its value, what it means); the more special key "verb option" comes first
OPTIONS = {
    "root": ("DIR", "states are kept here (/run/ociruntime or $XDG_RUNTIME_DIR/ociruntime)"),
    "log": (
        "FILE",
        "append messages to FILE, journald:NAME or syslog:NAME; errors go to standard error, too",
    ),
    "log-format": ("FORMAT", "of the log: text (default) or json, one object a line"),
    "log-level": ("LEVEL", "debug is the same as --debug; other levels change nothing"),
    "debug": ("", "log each step with its outcome and time"),
    "systemd-cgroup": ("", "the same as --cgroup-manager systemd"),
    "cgroup-manager": ("NAME", "cgroupfs (default), systemd or disabled"),
    "rootless": ("WORD", "true, false or auto; found out by itself, accepted for runc's callers"),
    "criu": ("PATH", "the CRIU that checkpoint and restore use (default: criu in PATH)"),
    "trace": ("FILE", "write to FILE what every step costs, for `trace` and ui.perfetto.dev"),
    "help": ("", "print this; behind a command: print its options"),
    "version": ("", "print the versions of the runtime and of the specification"),
    "bundle": ("DIR", "the bundle's directory (default: the current one)"),
    "config": ("FILE", "the configuration, if not config.json of the bundle"),
    "console-socket": ("SOCKET", "Unix socket that receives the master of the process's terminal"),
    "pid-file": ("FILE", "write the pid of the process, as seen by the caller, to FILE"),
    "pidfd-socket": ("SOCKET", "Unix socket that receives a pidfd of the process"),
    "no-pivot": ("", "do without pivot_root, for a host whose root is an initramfs"),
    "no-new-keyring": ("", "keep the caller's session keyring"),
    "preserve-fds": ("N", "hand on N open descriptors, from 3 on, to the process"),
    "detach": ("", "return as soon as the process runs"),
    "keep": ("", "do not delete the container when its process has ended"),
    "no-subreaper": ("", "run: do not become the parent of the container's orphans"),
    "cwd": ("DIR", "working directory in the container"),
    "env": ("NAME=VALUE", "set an environment variable; may be repeated"),
    "tty": ("", "give the process a terminal"),
    "user": ("UID[:GID]", "run as this user and group, as numbers"),
    "additional-gids": ("GID", "add a supplementary group; may be repeated"),
    "process": ("FILE", "take the process from FILE (the `process` of a config.json)"),
    "no-new-privs": ("", "the process can gain no privileges by executing programs"),
    "apparmor": ("PROFILE", "confine the process by this AppArmor profile"),
    "process-label": ("CONTEXT", "run the process in this SELinux context"),
    "cap": ("CAPABILITY", "add a capability; may be repeated"),
    "cgroup": (
        "[CONTROLLER:]PATH",
        "join PATH below the container's cgroup; on v1 for the named controllers (may be repeated)",
    ),
    "ignore-paused": ("", "do not refuse a paused container; the process waits for its resume"),
    "all": ("", "signal every process of the container"),
    "format": ("FORMAT", "table (default) or json"),
    "regex": ("", "take ID for a regular expression, and serve every container it is found in"),
    "force": ("", "kill a running container first; no container is no error"),
    "quiet": ("", "print ids only"),
    "resources": ("FILE", "take `linux.resources` from FILE, - for standard input"),
    "blkio-weight": ("WEIGHT", "share of block I/O, 10 to 1000"),
    "cpu-burst": ("USECS", "time that may be saved up and used above the quota"),
    "cpu-idle": ("N", "1: run only when nothing else wants the CPU; 0: as usual"),
    "cpu-period": ("USECS", "length of the period that the quota is for"),
    "cpu-quota": ("USECS", "CPU time in each period, -1 without limit"),
    "cpu-rt-period": ("USECS", "length of the period of real-time processes"),
    "cpu-rt-runtime": ("USECS", "CPU time of real-time processes in each period"),
    "cpu-share": ("SHARES", "share of the CPU, 2 to 262144, usual is 1024"),
    "cpuset-cpus": ("LIST", "CPUs to use: 0-2,4"),
    "cpuset-mems": ("LIST", "memory nodes to use"),
    "kernel-memory": ("BYTES", "ignored with a warning: kernels have no such limit any more"),
    "kernel-memory-tcp": ("BYTES", "limit of TCP buffers, on cgroup v1"),
    "memory": ("BYTES", "limit of memory (512M, 2g), -1 for none"),
    "memory-reservation": ("BYTES", "memory to keep when it gets scarce"),
    "memory-swap": ("BYTES", "limit of memory and swap together, -1 for none"),
    "pids-limit": ("N", "how many processes there may be, -1 for any number"),
    "l3-cache-schema": ("SCHEMA", "L3 cache of the container's resctrl class: L3:0=f"),
    "mem-bw-schema": ("SCHEMA", "memory bandwidth of the container's resctrl class: MB:0=50"),
    "image-path": ("DIR", "where the checkpoint is, or will be (default: ./checkpoint)"),
    "work-path": ("DIR", "where CRIU writes its log and other files (default: --image-path)"),
    "parent-path": ("DIR", "an earlier pre-dump, relative to --image-path"),
    "leave-running": ("", "let the container go on"),
    "pre-dump": ("", "write memory only, for a short stop later; the container goes on"),
    "tcp-established": ("", "take established TCP connections along"),
    "tcp-skip-in-flight": ("", "leave out TCP connections that are not yet established"),
    "tcp-close": ("", "close established TCP connections instead"),
    "link-remap": ("", "give files that have been unlinked a name where necessary"),
    "ext-unix-sk": ("", "allow Unix sockets that lead out of the container"),
    "shell-job": ("", "allow a terminal that was not made for the container"),
    "lazy-pages": ("", "memory is fetched when it is used, from `criu lazy-pages`"),
    "status-fd": ("FD", "a zero byte is written to FD when the memory can be fetched"),
    "page-server": ("ADDRESS:PORT", "send memory to the `criu page-server` there"),
    "file-locks": ("", "take file locks along"),
    "manage-cgroups-mode": ("MODE", "of CRIU: soft (default), full, strict or ignore"),
    "network-lock": ("METHOD", "how TCP connections are held: iptables, nftables or skip"),
    "empty-ns": ("TYPE", "network: for runc's callers; devices and addresses are the engine's"),
    "auto-dedup": ("", "keep each page of memory once in the images"),
    "lsm-profile": ("KIND:NAME", "apparmor:PROFILE or selinux:CONTEXT instead of the saved one"),
    "lsm-mount-context": ("CONTEXT", "SELinux context of mounts instead of the saved one"),
    "stats": ("", "print once what the container uses, and end"),
    "interval": ("TIME", "between two prints: 5s (default), 500ms, 1m30s"),
    "kind": (
        "KIND",
        "what the document is: config (default), process, resources, state or features",
    ),
    "state": ("DIR", "where networks keep their files (/run/ociruntime-net)"),
    "from-image": (
        "CONFIG",
        "take program, environment, user and directory of an image's configuration",
    ),
    "rootfs": ("DIR", "the root filesystem (default: rootfs of the bundle)"),
    "hostname": ("NAME", "the container's host name; with --net its id unless given"),
    "net": (
        "NETWORK",
        "bridge, the name or the file of a network, host, none or container:ID; may be repeated",
    ),
    "publish": (
        "PORTS",
        "[IP:]HOST:CONTAINER[/udp]: lead a port of the host into the container; may be repeated",
    ),
    "etc": ("", "make resolv.conf, hosts and hostname for the container"),
    "net-state": ("DIR", "where networks keep their files (/run/ociruntime-net)"),
    "schema": ("", "print where the JSON Schema is, for an editor"),
    "otlp": ("OUT", "write the spans to OUT as OTLP JSON, for OpenTelemetry's collectors"),
    "svg": ("OUT", "write a drawing for a browser to OUT instead"),
    "width": ("COLUMNS", "of the text (default: those of the terminal, 100 without one)"),
    "trace all": ("", "draw what is too short to be seen, too"),
    "spec config": ("FILE", "the file to write, if not config.json"),
    "spec rootless": ("", "for the calling user, who is root in a user namespace"),
    "diff": ("", "print what differs between two bundles, config files or containers"),
    "syscalls": ("", "print the system calls of the container's side, and make none of them"),
    "of": ("ID", "the plan of a container that exists, out of its stored configuration"),
    "json": ("", "print JSON instead of text"),
    "doctor rootless": ("", "for an ordinary user's containers, also when root asks"),
    "events format": ("FORMAT", "json (default), one object a line, or openmetrics"),
    "shims": ("DIRECTORY", "tell of the shim's daemons with sockets in it, too: /run/containerd/s"),
    "sort": ("ORDER", "by cpu (default), memory, pids, io, network or id"),
    "once": ("", "print one table and end, also on a terminal"),
    "explain format": ("FORMAT", "text (default) or json"),
    "plan format": ("FORMAT", "text (default) or json (schemas/plan.json)"),
    "validate format": (
        "FORMAT",
        "text (default), json, sarif (for code scanning) or github (for its workflows)",
    ),
    "strict": ("", "take warnings for errors: a misspelt property fails"),
}

# What an overview does not tell and a user needs at once.
NOTES = {
    "run": "The exit status is the container's own, 128 + N after signal N.",
    "exec": "The exit status is the command's own, 128 + N after signal N; 255 when "
    "it could not be run.",
    "kill": "SIGNAL is a number or a name: 9, KILL, SIGKILL, RTMIN+3.",
    "delete": "A running container is refused unless --force is given.",
    "ps": "PS OPTIONS are handed to ps(1), -ef unless others are given; its columns "
    "must include the pid.",
    "update": "What is not named stays as it is; options win over FILE. If anything is refused, "
    "nothing is changed.",
    "image": "Make it anew when Python or the C library of this host was updated: commands start"
    " more slowly until then.",
    "explain": "POINTER is /linux/resources/memory/swap, linux.resources.memory.swap or its end "
    "(memory.swap).",
    "mounts": "FILE is a JSON array, - for standard input. If one cannot be mounted, none is.",
    "events": "One JSON object a line, or one OpenMetrics text after the other, until the "
    "container ends.",
    "validate": "FILE may be - (standard input), DIR a bundle or a tree of them. The exit status "
    "is 1 if there are errors.",
    "top": "Keys: s sorts by the next column, p shows the processes of one container, l its "
    "plan, q ends.\nWithout a terminal one table is printed.",
    "plan": "Nothing is changed, and root is not needed; but the plan is that of the calling user. "
    "exec,\nupdate, delete and `mounts add ID FILE` take the options of these commands.",
}


def overview(known: Mapping[str, str], aliases: Mapping[str, str]) -> str:
    """The text of `ociruntime --help`: every command, and the global options ``known``."""
    lines = [
        f"ociruntime {__version__}: an OCI container runtime (runtime-spec {SPEC_VERSION})",
        "",
        "usage: ociruntime [OPTIONS] COMMAND [ARGUMENTS]",
        "",
        "commands (`ociruntime COMMAND --help` tells more):",
    ]
    width = max(map(len, SUMMARIES))
    lines += [f"  {verb.ljust(width)}  {summary}" for verb, (_, summary) in SUMMARIES.items()]
    lines += ["", "options:", *_options("", known, aliases)]
    return "\n".join(lines) + "\n"


def usage(verb: str, package: ModuleType) -> str:
    """The text of `ociruntime VERB --help`; ``package`` serves the verb."""
    known: Mapping[str, str] = getattr(package, "OPTIONS", {})
    aliases: Mapping[str, str] = getattr(package, "ALIASES", {})
    arguments, summary = SUMMARIES[verb]
    words = ["ociruntime", verb, "[OPTIONS]" if known else "", arguments]
    lines = [
        f"usage: {' '.join(word for word in words if word)}",
        "",
        f"{summary[0].upper()}{summary[1:]}.",
    ]
    if verb in NOTES:
        lines.append(NOTES[verb])
    if known:
        lines += ["", "options:", *_options(verb, known, aliases)]
    return "\n".join(lines) + "\n"


def suggest(verb: str) -> str:
    """`` (did you mean start?)`` for ``strat``; empty when no command is near."""
    near = nearest(verb, SUMMARIES)
    return f" (did you mean {near}?)" if near else ""


def _options(verb: str, known: Mapping[str, str], aliases: Mapping[str, str]) -> list[str]:
    """One line for each option: letter, name, value, meaning; the meaning moves to a line of its
    own if need be.
    """
    letters: dict[str, str] = {}
    for letter, name in aliases.items():
        if len(letter) == 1:  # longer ones are other runtimes' names, understood and not advertised
            letters[name] = f"{letters.get(name, '')}-{letter}, "
    heads = {}
    for name, kind in known.items():
        value = OPTIONS.get(f"{verb} {name}", OPTIONS[name])[0]
        letter = letters.get(name, "    ")
        heads[name] = f"  {letter}--{name}" + ("" if kind == FLAG else f" {value}")
    width = max(map(len, heads.values()))
    lines = []
    for name, head in heads.items():
        meaning = OPTIONS.get(f"{verb} {name}", OPTIONS[name])[1]
        line = f"{head.ljust(width)}  {meaning}"
        lines += [line] if len(line) <= WIDTH else [head, f"          {meaning}"]
    return lines
