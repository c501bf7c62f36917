"""config.md and config-linux.md: properties that are REQUIRED, left out one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from functools import partial
from typing import Any

from conformance.registry import add, check
from conformance.terminal import ConsoleSocket
from conformance.trial import Trial

DEVICE = {"major": 7, "minor": 3}
BLOCK = {
    "weightDevice": [{**DEVICE, "weight": 300}],
    "throttleReadBpsDevice": [{**DEVICE, "rate": 1 << 20}],
}
RULE: dict[str, Any] = {
    "names": ["chmod"], "action": "SCMP_ACT_ERRNO",
    "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}],
}  # fmt: skip
# sentence: where in the configuration an object is, the object, what it needs.
OBJECTS: dict[str, tuple[str, Any, tuple[str, ...]]] = {
    "rlimits.required": (
        "process/rlimits",
        [{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}],
        ("0/type", "0/soft", "0/hard"),
    ),
    "scheduler.policy-required": ("process/scheduler", {"policy": "SCHED_OTHER"}, ("policy",)),
    "io-priority.class-required": (
        "process/ioPriority",
        {"class": "IOPRIO_CLASS_BE", "priority": 4},
        ("class",),
    ),
    "io-priority.priority-required": (
        "process/ioPriority",
        {"class": "IOPRIO_CLASS_BE", "priority": 4},
        ("priority",),
    ),
    "user.required": ("process/user", {"uid": 0, "gid": 0}, ("uid", "gid")),
    "allow-list.required": (
        "linux/resources/devices",
        [{"allow": True, "access": "rwm"}],
        ("0/allow",),
    ),
    "block-io.required": (
        "linux/resources/blockIO",
        BLOCK,
        tuple(f"{name}/0/{number}" for name in BLOCK for number in DEVICE),
    ),
    "block-io.rate-required": (
        "linux/resources/blockIO",
        {"throttleReadBpsDevice": [{**DEVICE, "rate": 1 << 20}]},
        ("throttleReadBpsDevice/0/rate",),
    ),
    "huge-pages.required": (
        "linux/resources/hugepageLimits",
        [{"pageSize": "2MB", "limit": 1 << 23}],
        ("0/pageSize", "0/limit"),
    ),
    "network.priorities-required": (
        "linux/resources/network",
        {"priorities": [{"name": "lo", "priority": 3}]},
        ("priorities/0/name", "priorities/0/priority"),
    ),
    "personality.domain-required": ("linux/personality", {"domain": "LINUX"}, ("domain",)),
    "devices.numbers-required": (
        "linux/devices",
        [{"type": "c", "path": "/work/there", "major": 1, "minor": 3}],
        ("0/major", "0/minor"),
    ),
    "memory-policy.mode-required": ("linux/memoryPolicy", {"mode": "MPOL_DEFAULT"}, ("mode",)),
    "seccomp.required": (
        "linux/seccomp",
        {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [RULE]},
        tuple(f"syscalls/0/{name}" for name in ("names", "action"))
        + tuple(f"syscalls/0/args/0/{name}" for name in ("index", "value", "op")),
    ),
}


def without(whole: Any, path: str) -> Any:
    """Return a copy of an object without the property at a path."""
    found = place = deepcopy(whole)
    *above, last = path.split("/")
    for name in above:
        place = place[int(name) if isinstance(place, list) else name]
    del place[last]
    return found


def incomplete(sentence: str) -> Iterator[tuple[str, Any]]:
    """Yield each path that is left out, and what is left."""
    _, whole, paths = OBJECTS[sentence]
    for path in paths:
        yield path, without(whole, path)


def leave_out(t: Trial, sentence: str) -> None:
    """Create with an object that lacks a property which it must have, for each of these."""
    *above, last = OBJECTS[sentence][0].split("/")
    for path, value in incomplete(sentence):
        bundle = t.bundle()
        place = bundle.config
        for name in above:
            place = place[name]
        place[last] = value
        t.refuses(sentence, bundle, what=f"no {path}")


@check("process.console-size-required")
def console_size(t: Trial) -> None:
    """Creates with a terminal whose size has no height, and with one that has no width."""
    for name, size in (("height", {"width": 80}), ("width", {"height": 25})):
        bundle = t.bundle("true")
        bundle.process.update(terminal=True, consoleSize=size)
        with ConsoleSocket(t.directory / f"console-{name}") as console:
            words = ("--console-socket", str(console.path))
            result = t.attempt_create(bundle, bundle.path.name, *words)
            if result.ok:
                t.adopt(bundle.path.name, bundle).close()
        saw = f"no {name}: {'accepted' if result.ok else result.text}"
        t.expect("process.console-size-required", result.refused, saw)


def _register() -> None:
    for sentence, (place, _, paths) in OBJECTS.items():
        names = ", ".join(dict.fromkeys(path.rpartition("/")[2] for path in paths))
        did = f"Leaves out of {place.replace('/', '.')}, one at a time: {names}."
        add(f"required[{sentence}]", [sentence], did, partial(leave_out, sentence=sentence))


_register()
