"""Cgroup settings and annotations as properties of a systemd unit.

Sources: systemd.resource-control(5), org.freedesktop.systemd1(5). Pure.

systemd writes the files of its controllers from these properties whenever it likes to, at
``systemctl daemon-reload`` for instance: what it is not told, it would set back. The exact values
are written by us afterwards, as for a cgroup without systemd.
"""

from __future__ import annotations

import errno

from ociruntime.cgroups.detect import V2
from ociruntime.cgroups.devices import WILDCARD, overlaps, rules_of
from ociruntime.cgroups.v1.devices import target
from ociruntime.errors import PlanError, StepError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ociruntime.cgroups.devices import Key, Rule
    from ociruntime.cgroups.setting import Setting
    from ociruntime.cgroups.unit import Property
    from ociruntime.cgroups.v1.devices import Access

INFINITY = (1 << 64) - 1
# Quotas of CPU time: systemd keeps per cent of a second (systemd.resource-control(5), CPUQuota=).
MICROSECONDS = 1_000_000
PER_CENT = 10_000
DEFAULT_PERIOD = 100_000
ANNOTATION = "org.systemd.property."
# Suffixes that the kernel takes with bytes, in steps of 1024.
UNITS = " kmgtpe"
# More CPUs than any kernel is built for.
LARGEST_NUMBER = 1 << 16
# From here on systemd knows the weight of an idle cgroup.
IDLE_VERSION = 252


def whole(text: str) -> int:
    """A number as D-Bus has it; ``ValueError`` for others, though the kernel may know them."""
    number = int(text)
    if not 0 <= number <= INFINITY:
        raise ValueError(text)
    return number


def amount(text: str) -> tuple[str, object]:
    """Bytes, also as 64M, or processes; none for ``max`` and -1."""
    if text in ("max", "-1"):
        return "t", INFINITY
    power = UNITS.find(text[-1:].lower())
    return "t", whole(text) if power <= 0 else whole(str(int(text[:-1]) << 10 * power))


def tasks(text: str) -> tuple[str, object]:
    """A number of tasks; systemd has no word for none at all."""
    signature, number = amount(text)
    return signature, number or 1


def weight(text: str) -> tuple[str, object]:
    """A weight, of all devices where they have their own."""
    return "t", whole(text.removeprefix("default "))


def mask(text: str) -> tuple[str, object]:
    """A list such as ``0-3,7`` as bytes whose bits are the numbers, the lowest first; ``all``, and
    an empty one, which `update` writes back, lift the limit.

    In every form that the kernel takes (Documentation/admin-guide/kernel-parameters.rst, "cpu
    lists") but those that count from the end: ``N``, the last one, and a part of ``all``.
    """
    bits = 0
    for part in text.replace(",", " ").split():
        if part.lower() == "all":
            return "ay", b""
        span, _, groups = part.partition(":")
        begin, _, end = span.partition("-")
        first, last = whole(begin), whole(end or begin)
        used, _, size = groups.partition("/")
        count, width = (whole(used), whole(size)) if groups else (1, 1)
        if not (first <= last <= LARGEST_NUMBER and 0 < count <= width):
            raise ValueError(part)
        for number in range(first, last + 1):
            if (number - first) % width < count:
                bits |= 1 << number
    return "ay", bits.to_bytes((bits.bit_length() + 7) // 8, "little")


# File -> property and what converts its text.
FILES_V2: dict[str, tuple[str, Callable[[str], tuple[str, object]]]] = {
    "cpu.weight": ("CPUWeight", weight),
    "cpuset.cpus": ("AllowedCPUs", mask),
    "cpuset.mems": ("AllowedMemoryNodes", mask),
    "io.weight": ("IOWeight", weight),
    "memory.high": ("MemoryHigh", amount),
    "memory.low": ("MemoryLow", amount),
    "memory.max": ("MemoryMax", amount),
    "memory.min": ("MemoryMin", amount),
    "memory.swap.max": ("MemorySwapMax", amount),
    "pids.max": ("TasksMax", tasks),
}
FILES_V1: dict[str, tuple[str, Callable[[str], tuple[str, object]]]] = {
    "blkio.weight": ("BlockIOWeight", weight),
    "cpu.shares": ("CPUShares", weight),
    "cpuset.cpus": ("AllowedCPUs", mask),
    "cpuset.mems": ("AllowedMemoryNodes", mask),
    "memory.limit_in_bytes": ("MemoryLimit", amount),
    "pids.max": ("TasksMax", tasks),
}


def limits(settings: list[Setting], mode: str, period: int = DEFAULT_PERIOD) -> list[Property]:
    """What systemd can be told of ``settings``; later ones win.

    Parameters: ``mode`` is the layout's, ``period`` (us) that of a v1 cgroup whose settings have a
    quota alone. Raises ``StepError`` for a text that there is no property for: what systemd is not
    told it would set back.
    """
    found: dict[str, Property] = {}
    quota = ""
    for setting in settings:
        try:
            quota, period = _tell(found, setting, mode, quota, period)
            if quota:
                found.update((item[0], item) for item in _quota(quota, period))
        except (ValueError, ArithmeticError):
            detail = "this cannot be told to systemd; write numbers in decimal, or max"
            raise StepError(setting.label, errno.EINVAL, detail) from None
    return list(found.values())


def _tell(
    found: dict[str, Property], setting: Setting, mode: str, quota: str, period: int
) -> tuple[str, int]:
    """Put what ``setting`` is for systemd to ``found``; the quota and the period as of now."""
    table = FILES_V2 if mode == V2 else FILES_V1
    file, value = setting.file, setting.value
    if file not in table and setting.other_file in table:
        file, value = setting.other_file, setting.other_value
    if file in table:
        name, convert = table[file]
        # Weights of single devices are for our own writing.
        if not (name.endswith("Weight") and ":" in value):
            found[name] = (name, *convert(value))
    elif file == "cpu.idle" and value == "1" and mode == V2:
        found["CPUWeight"] = ("CPUWeight", "t", 0)
    elif file == "cpu.max":
        quota, _, text = value.partition(" ")
        period = whole(text) if text else period
    elif file == "cpu.cfs_quota_us":
        quota = value
    elif file == "cpu.cfs_period_us":
        period = whole(value)
    return quota, period


def _quota(quota: str, period: int) -> list[Property]:
    """CPU time: in files that systemd writes for itself it keeps whole per cent, so it gets the
    next higher one: a cgroup below must never ask for more than its parent has.
    """
    per_second = INFINITY
    if quota != "max" and not quota.startswith("-"):
        per_second = -(-whole(quota) * MICROSECONDS // period)
        per_second = -(-per_second // PER_CENT) * PER_CENT
    return [
        ("CPUQuotaPeriodUSec", "t", period),
        ("CPUQuotaPerSecUSec", "t", per_second),
    ]


def start(mode: str, *, scope: bool) -> list[Property]:
    """What every unit of ours has: all is accounted, and below a scope systemd stays out."""
    io_accounting = "IOAccounting" if mode == V2 else "BlockIOAccounting"
    names = ["MemoryAccounting", "CPUAccounting", "TasksAccounting", io_accounting]
    found: list[Property] = [(name, "b", True) for name in names]
    found.append(("DefaultDependencies", "b", False))
    if scope:
        found.append(("Delegate", "b", True))
    return found


def devices(rules: list[Rule], drivers: str) -> list[Property]:
    """What systemd on v1 is told of device rules; ``drivers`` is the text of /proc/devices.

    "Everything but" is nothing that it has words for. It is told of the default devices then: after
    its next reload the container may use fewer devices than it should, and never more.
    """
    access = target(rules)
    if access.allow and not access.exceptions:
        return [("DevicePolicy", "s", "auto"), ("DeviceAllow", "a(ss)", [])]
    known = _defaults_left(access) if access.allow else access.exceptions
    names = _device_names(drivers)
    allowed = []
    for (kind, major, minor), letters in known.items():
        specifier = _specifier(kind, major, minor, names)
        if specifier:
            allowed.append((specifier, letters))
    # An empty list first: properties of the name add up.
    nothing: Property = ("DeviceAllow", "a(ss)", [])
    return [("DevicePolicy", "s", "strict"), nothing, ("DeviceAllow", "a(ss)", allowed)]


def _defaults_left(access: Access) -> dict[Key, str]:
    """The default devices without the uses that ``access``, which allows all else, denies."""
    left = dict(target(rules_of([])).exceptions)
    for denied, letters in access.exceptions.items():
        for key, had in left.items():
            if overlaps(key, denied):
                left[key] = "".join(x for x in had if x == "m" or x not in letters)
    return left


def _device_names(text: str) -> dict[tuple[str, int], str]:
    """(kind, major) -> name of the driver, from /proc/devices."""
    found: dict[tuple[str, int], str] = {}
    kind = "c"
    for line in text.splitlines():
        if line.startswith("Block"):
            kind = "b"
        number, _, name = line.strip().partition(" ")
        if number.isdecimal():
            found.setdefault((kind, int(number)), name)
    return found


def _specifier(kind: str, major: int, minor: int, names: dict[tuple[str, int], str]) -> str:
    """A device as systemd.resource-control(5) DeviceAllow= has it; "" when it has no word."""
    word = "char" if kind == "c" else "block"
    if major == WILDCARD:
        return f"{word}-*" if minor == WILDCARD else ""
    if minor == WILDCARD:
        name = names.get((kind, major))
        return f"{word}-{name}" if name else ""
    return f"/dev/{word}/{major}:{minor}"


# Annotations org.systemd.property.NAME -> D-Bus signature. Left out is what would start other
# units, run commands, or undo what the config says about devices; below are the resource controls
# (systemd.resource-control(5)), which the config's own limits override.
ALLOWED = {
    "After": "as",
    "Before": "as",
    "CollectMode": "s",
    "Documentation": "as",
    "KillMode": "s",
    "KillSignal": "i",
    "OOMPolicy": "s",
    "PartOf": "as",
    "RuntimeMaxUSec": "t",
    "SendSIGHUP": "b",
    "SendSIGKILL": "b",
    "TimeoutStopUSec": "t",
    "AllowedCPUs": "ay",
    "AllowedMemoryNodes": "ay",
    "BlockIOAccounting": "b",
    "BlockIOWeight": "t",
    "CPUAccounting": "b",
    "CPUQuotaPerSecUSec": "t",
    "CPUQuotaPeriodUSec": "t",
    "CPUShares": "t",
    "CPUWeight": "t",
    "DefaultMemoryLow": "t",
    "DefaultMemoryMin": "t",
    "IOAccounting": "b",
    "IODeviceLatencyTargetUSec": "a(st)",
    "IODeviceWeight": "a(st)",
    "IOReadBandwidthMax": "a(st)",
    "IOReadIOPSMax": "a(st)",
    "IOWeight": "t",
    "IOWriteBandwidthMax": "a(st)",
    "IOWriteIOPSMax": "a(st)",
    "IPAccounting": "b",
    "ManagedOOMMemoryPressure": "s",
    "ManagedOOMMemoryPressureDurationUSec": "t",
    "ManagedOOMMemoryPressureLimit": "u",
    "ManagedOOMPreference": "s",
    "ManagedOOMSwap": "s",
    "MemoryAccounting": "b",
    "MemoryHigh": "t",
    "MemoryLimit": "t",
    "MemoryLow": "t",
    "MemoryMax": "t",
    "MemoryMin": "t",
    "MemoryPressureThresholdUSec": "t",
    "MemoryPressureWatch": "s",
    "MemorySwapMax": "t",
    "MemoryZSwapMax": "t",
    "MemoryZSwapWriteback": "b",
    "StartupAllowedCPUs": "ay",
    "StartupAllowedMemoryNodes": "ay",
    "StartupBlockIOWeight": "t",
    "StartupCPUShares": "t",
    "StartupCPUWeight": "t",
    "StartupIOWeight": "t",
    "StartupMemoryHigh": "t",
    "StartupMemoryLow": "t",
    "StartupMemoryMax": "t",
    "StartupMemorySwapMax": "t",
    "StartupMemoryZSwapMax": "t",
    "TasksAccounting": "b",
    "TasksMax": "t",
}


def annotated(annotations: dict[str, str]) -> list[Property]:
    """Properties that annotations ask for, their values in GVariant's text format as with runc.

    Raises ``PlanError`` for a name that is not in ``ALLOWED`` and for a value of another type.
    """
    found: list[Property] = []
    for key, given in annotations.items():
        if not key.startswith(ANNOTATION):
            continue
        pointer = "/annotations/" + key.replace("~", "~0").replace("/", "~1")
        name, text = _seconds(key.removeprefix(ANNOTATION), given, pointer)
        signature = ALLOWED.get(name)
        if signature is None:
            raise PlanError(
                f"annotation {key}: this property of systemd is not for a container to set",
                pointer,
                f"remove it, or use one of {', '.join(ALLOWED)}",
            )
        found.append((name, signature, _value(key, signature, text, pointer)))
    return found


def _seconds(name: str, text: str, pointer: str) -> tuple[str, str]:
    """``TimeoutStopSec`` as people write it, in seconds, is ``TimeoutStopUSec`` on the bus."""
    if not name.endswith("Sec") or name.endswith("USec"):
        return name, text
    try:
        seconds = float(text.rsplit(maxsplit=1)[-1])
        return name.removesuffix("Sec") + "USec", str(int(seconds * MICROSECONDS))
    except (ValueError, IndexError, OverflowError):
        raise PlanError(
            f"annotation {ANNOTATION}{name}: {text!r} is not a number of seconds",
            pointer,
            "write a number",
        ) from None


# What GVariant's text format may have in front of a value.
WORDS = {
    "t": ("uint64 ",),
    "u": ("uint32 ",),
    "i": ("int32 ",),
    "as": ("@as ",),
    "ay": ("@ay ", "byte "),
    "a(st)": ("@a(st) ", "uint64 "),
}
EXAMPLES = {
    "t": "uint64 5000000",
    "u": "uint32 5000000",
    "i": "int32 15",
    "as": "['a.service']",
    "ay": "[byte 0x03, 0x01]",
    "a(st)": "[('/dev/sda', uint64 5000000)]",
    "s": "'x'",
    "b": "true",
}


def _value(key: str, signature: str, text: str, pointer: str) -> object:
    """The value of ``signature`` that ``text`` stands for."""
    import ast

    plain = text.strip()
    for word in WORDS.get(signature, ()):
        plain = plain.replace(word, "")
    plain = {"true": "True", "false": "False"}.get(plain, plain)
    try:
        value = ast.literal_eval(plain)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        value = None
    fits = {
        "b": isinstance(value, bool),
        "s": isinstance(value, str),
        "t": type(value) is int and 0 <= value <= INFINITY,
        "u": type(value) is int and 0 <= value < 1 << 32,
        "i": type(value) is int and -(1 << 31) <= value < 1 << 31,
        "as": isinstance(value, list) and all(isinstance(item, str) for item in value),
        "ay": isinstance(value, list)
        and all(type(item) is int and 0 <= item < 256 for item in value),
        "a(st)": isinstance(value, list) and all(_is_limit(item) for item in value),
    }
    if not fits[signature]:
        raise PlanError(
            f"annotation {key}: {text!r} is not a value of type {signature}",
            pointer,
            f"write it as in {EXAMPLES[signature]}",
        )
    return bytes(value) if signature == "ay" and isinstance(value, list) else value


def _is_limit(item: object) -> bool:
    """Whether it is the path of a device and a number."""
    return (
        isinstance(item, tuple)
        and len(item) == 2
        and isinstance(item[0], str)
        and type(item[1]) is int
        and 0 <= item[1] <= INFINITY
    )
