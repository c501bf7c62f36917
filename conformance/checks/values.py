"""config.md: versions, annotations, unknown properties, invalid values."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from conformance.bundle import Bundle
from conformance.registry import check
from conformance.runner import OCI_VERSIONS
from conformance.trial import Trial


@check("config.oci-version", "config.oci-version-semver", "config.oci-version-compatible")
def versions(t: Trial) -> None:
    """Uses no ociVersion, some that are no versions, this specification's, and older ones."""
    bundle = t.bundle()
    del bundle.config["ociVersion"]
    t.refuses("config.oci-version", bundle, at="create", what="none")
    for words in ("1.0", "v1.0.0", "one", "", 1):
        bundle = t.bundle()
        bundle.config["ociVersion"] = words
        t.refuses("config.oci-version-semver", bundle, at="create", what=repr(words))
    taken = False
    for words in OCI_VERSIONS:  # the newest first
        bundle = t.bundle()
        bundle.config["ociVersion"] = words
        result = t.attempt_create(bundle, bundle.path.name)
        if result.ok:
            t.adopt(bundle.path.name, bundle)
        # A runtime need not know what is newer than the newest it takes.
        if taken or result.ok:
            saw = f"{words}: {'accepted' if result.ok else result.text}"
            t.expect("config.oci-version-compatible", result.ok, saw)
        taken = taken or result.ok
    t.expect("config.oci-version-compatible", taken, "one of them was accepted")


@check("annotations.map", "annotations.empty", "annotations.keys-empty", "annotations.unknown",
       "annotations.values")  # fmt: skip
def notes_of_a_container(t: Trial) -> None:
    """Uses unknown, empty and absent annotations, and some that are none."""
    for sentence, notes in (
        ("annotations.unknown", {"org.example.no-such-thing": "value"}),
        ("annotations.values", {"org.example.empty": ""}),
        ("annotations.empty", {}),
        ("annotations.empty", None),
    ):
        bundle = t.bundle()
        if notes is not None:
            bundle.config["annotations"] = notes
        result = t.attempt_create(bundle, bundle.path.name)
        t.expect(sentence, result.ok, f"{notes}: {'accepted' if result.ok else result.text}")
        if result.ok:
            t.adopt(bundle.path.name, bundle)
    for sentence, bad in (
        ("annotations.keys-empty", {"": "value"}),
        ("annotations.values", {"org.example.number": 5}),
        ("annotations.map", ["org.example.key"]),
    ):
        bundle = t.bundle()
        bundle.config["annotations"] = bad
        t.refuses(sentence, bundle, at="create", what=json.dumps(bad))


@check("extensibility.unknown", "extensibility.no-error")
def unknown_properties(t: Trial) -> None:
    """Adds properties that no specification knows, everywhere in a configuration."""
    bundle = t.bundle("echo ran")
    bundle.add_mount("/work", "tmpfs")
    bundle.config["hooks"] = {"createRuntime": [{"path": "/bin/true"}]}
    bundle.resources["pids"] = {"limit": 100}
    more = {"org.example.unknown": {"a": [1, 2]}, "nosuch": True}
    config = bundle.config
    for place in (
        config, config["root"], config["process"], config["process"]["user"],
        config["process"]["capabilities"], config["mounts"][-1], config["hooks"],
        config["hooks"]["createRuntime"][0], config["linux"], config["linux"]["namespaces"][0],
        config["linux"]["resources"], config["linux"]["resources"]["pids"],
    ):  # fmt: skip
        place.update(more)
    result = t.attempt_create(bundle, bundle.path.name)
    words = "accepted" if result.ok else result.text
    t.expect("extensibility.no-error", result.ok, f"in twelve places: {words}")
    if not result.ok:
        t.expect("extensibility.unknown", None, words)
        return
    container = t.adopt(bundle.path.name, bundle).run()
    seen = container.output().strip()
    t.expect("extensibility.unknown", seen == "ran", f"the program wrote {seen!r}")


def put(*path: str, to: object) -> Callable[[Bundle], None]:
    """Return a function that sets a property of a configuration."""

    def change(bundle: Bundle) -> None:
        place: Any = bundle.config
        for name in path[:-1]:
            place = place.setdefault(name, {})
        place[path[-1]] = to

    return change


INVALID = {
    "hostname 5": put("hostname", to=5),
    "hostname in an array": put("hostname", to=["a"]),
    "root is a string": put("root", to="rootfs"),
    "root.readonly is a string": put("root", "readonly", to="yes"),
    "mounts is an object": put("mounts", to={}),
    "a mount is a string": put("mounts", to=["/tmp"]),
    "process is a string": put("process", to="sh"),
    "process.args is a string": put("process", "args", to="sh"),
    "process.args has a number": put("process", "args", to=["sh", 1]),
    "process.env is an object": put("process", "env", to={"A": "b"}),
    "process.terminal is a number": put("process", "terminal", to=1),
    "process.noNewPrivileges is a string": put("process", "noNewPrivileges", to="true"),
    "oomScoreAdj 5000": put("process", "oomScoreAdj", to=5000),
    "oomScoreAdj is a string": put("process", "oomScoreAdj", to="5"),
    "linux is an array": put("linux", to=[]),
    "namespaces is a string": put("linux", "namespaces", to="pid"),
    "a namespace is a string": put("linux", "namespaces", to=["pid"]),
    "device type x": put("linux", "devices", to=[
        {"type": "x", "path": "/dev/x", "major": 1, "minor": 3}]),
    "pids.limit is a string": put("linux", "resources", "pids", to={"limit": "5"}),
    "cpu.cpus is a word": put("linux", "resources", "cpu", to={"cpus": "zero"}),
    "memory.limit is a string": put("linux", "resources", "memory", to={"limit": "64M"}),
    "sysctl is an array": put("linux", "sysctl", to=["net.ipv4.ip_forward"]),
    "seccomp is a string": put("linux", "seccomp", to="default"),
    "hooks is an array": put("hooks", to=[]),
}  # fmt: skip


@check("values.invalid", seconds=120)
def invalid_values(t: Trial) -> None:
    """Uses two dozen values of a wrong type, or that the property cannot have, one at a time."""
    for what, change in INVALID.items():
        bundle = t.bundle()
        change(bundle)
        t.refuses("values.invalid", bundle, what=what)
