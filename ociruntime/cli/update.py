"""ociruntime update [options] ID"""

from __future__ import annotations

from ociruntime.arguments import VALUE, one_argument, parse
from ociruntime.bundle import parse_settings, read_all, read_file
from ociruntime.errors import SpecError, UsageError
from ociruntime.jsontext import dumps
from ociruntime.lifecycle.update import update
from ociruntime.spec import load_resources
from ociruntime.spec.amounts import is_number, parse_bytes
from ociruntime.state.ids import check_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ociruntime.arguments import Options
    from ociruntime.cli.main import Globals
    from ociruntime.spec.documents import ResourcesConfig

NUMBER, BYTES, TEXT = "number", "bytes", "text"
# option -> (section of linux.resources, key, what the value is)
LIMITS = {
    "blkio-weight": ("blockIO", "weight", NUMBER),
    "cpu-burst": ("cpu", "burst", NUMBER),
    "cpu-idle": ("cpu", "idle", NUMBER),
    "cpu-period": ("cpu", "period", NUMBER),
    "cpu-quota": ("cpu", "quota", NUMBER),
    "cpu-rt-period": ("cpu", "realtimePeriod", NUMBER),
    "cpu-rt-runtime": ("cpu", "realtimeRuntime", NUMBER),
    "cpu-share": ("cpu", "shares", NUMBER),
    "cpuset-cpus": ("cpu", "cpus", TEXT),
    "cpuset-mems": ("cpu", "mems", TEXT),
    "kernel-memory": ("memory", "kernel", BYTES),
    "kernel-memory-tcp": ("memory", "kernelTCP", BYTES),
    "memory": ("memory", "limit", BYTES),
    "memory-reservation": ("memory", "reservation", BYTES),
    "memory-swap": ("memory", "swap", BYTES),
    "pids-limit": ("pids", "limit", NUMBER),
}
SCHEMAS = ("l3-cache-schema", "mem-bw-schema")
OPTIONS = {"resources": VALUE, **dict.fromkeys(LIMITS, VALUE), **dict.fromkeys(SCHEMAS, VALUE)}
ALIASES = {"r": "resources"}
BITS = 64


def main(words: list[str], globals_: Globals) -> int:
    """Change the limits of a container; what is not named stays as it is."""
    options = parse(words, OPTIONS, ALIASES, stop_at_argument=False, command="update")
    container_id = check_id(one_argument(options, "update"))
    resources = wanted(options, globals_.log.warning)
    schemas = [text for name in SCHEMAS if (text := options.text(name))]
    container = globals_.store.open_locked(container_id)
    for warning in update(container, resources, schemas):
        globals_.log.warning(warning)
    return 0


def wanted(options: Options, warn: Callable[[str], None]) -> ResourcesConfig:
    """linux.resources of --resources with what the other options say; checked against the schema.

    Raises ``UsageError``, ``SpecError``.
    """
    file = options.text("resources")
    resources: ResourcesConfig = {}
    if file is not None:
        source = "standard input" if file == "-" else file
        if file == "-":
            raw = read_all(0, source)
        else:
            raw = read_file(file, where=f"--resources {file}", pipes=True)
        resources = parse_settings(raw, source)
        for warning in load_resources(raw, resources, source=source):
            warn(warning)
    given: dict[str, dict[str, int | str]] = {}
    for name, (section, key, kind) in LIMITS.items():
        text = options.text(name)
        if text:
            given.setdefault(section, {})[key] = value_of(name, text, kind)
    if given:
        try:
            load_resources(dumps(given).encode(), given, source="update")
        except SpecError as error:
            raise refused_option(error, options) from None
    sections: Any = resources
    for section, values in given.items():
        sections[section] = {**(sections.get(section) or {}), **values}
    return resources


def refused_option(error: SpecError, options: Options) -> UsageError:
    """The error in terms of the option that it is about: there is no text that could be read."""
    _, _, what = str(error).split(": ", 2)
    for name, (section, key, _) in LIMITS.items():
        if error.pointer == f"/{section}/{key}":
            return UsageError(f"update: --{name} {options.text(name)}: {what}")
    return UsageError(f"update: {what}")


def value_of(name: str, text: str, kind: str) -> int | str:
    """The value of an option as the config has it."""
    if kind == TEXT:
        return text
    if kind == BYTES:
        return byte_count(name, text)
    if not is_number(text.removeprefix("-")):
        raise UsageError(f"update: --{name} {text}: not a number; write digits")
    return checked(name, text, int(text))


def byte_count(name: str, text: str) -> int:
    """A number of bytes, as ``parse_bytes`` reads it."""
    count = parse_bytes(text)
    if count is None:
        raise UsageError(f"update: --{name} {text}: write bytes, or a number with k, m, g, t or p")
    return checked(name, text, count)


def checked(name: str, text: str, value: int) -> int:
    """``value``, if JSON text could hold it; what fits in which limit is the schema's to say."""
    if value.bit_length() > BITS:
        raise UsageError(f"update: --{name} {text}: does not fit into {BITS} bits; write less")
    return value
