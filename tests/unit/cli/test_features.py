"""`features`: valid, complete, and true to the tables and to what is implemented."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft4Validator, Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT4

from ociruntime.errors import PlanError
from ociruntime.features import features
from ociruntime.kernel.kernel import Kernel
from ociruntime.spec import tables
from ociruntime.spec.default import default_config
from ociruntime.spec.mount_options import parse as parse_mount

from ..spec.documents import CHECKOUT, oracle
from .caller import call
from .test_plan import planned

MUST = {
    "async", "atime", "bind", "defaults", "dev", "diratime", "dirsync", "exec", "iversion",
    "lazytime", "loud", "noatime", "nodev", "nodiratime", "noexec", "noiversion", "nolazytime",
    "norelatime", "nostrictatime", "nosuid", "private", "rbind", "relatime", "remount", "ro",
    "rprivate", "rshared", "rslave", "runbindable", "rw", "shared", "silent", "slave",
    "strictatime", "suid", "sync", "unbindable",
}  # fmt: skip


def values(value: Any) -> Iterator[Any]:
    yield value
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for item in inside:
        yield from values(item)


def test_printed(tmp_path: Path) -> None:
    assert call(tmp_path, "features").json() == features()


def test_follows_our_schema() -> None:
    schema = json.loads((CHECKOUT / "schemas" / "features.json").read_text())
    assert list(Draft202012Validator(schema).iter_errors(features())) == []
    # "No undefined properties" (features.md) is stricter than the schema.
    known = set(schema["properties"]["linux"]["properties"])
    assert set(features()["linux"]) == known
    assert set(features()) == set(schema["properties"])


def test_follows_the_specification_schema() -> None:
    directory = oracle() / "schema"
    registry: Registry[Any] = Registry().with_resources(
        (path.name, DRAFT4.create_resource(json.loads(path.read_text())))
        for path in directory.glob("*.json")
    )
    schema = json.loads((directory / "features-schema.json").read_text())
    assert list(Draft4Validator(schema, registry=registry).iter_errors(features())) == []


def test_nothing_is_unknown() -> None:
    assert None not in list(values(features()))


def test_from_the_tables() -> None:
    document = features()
    assert document["ociVersionMin"] == tables.OCI_VERSION_MIN
    assert document["ociVersionMax"] == tables.OCI_VERSION_MAX == "1.3.0"
    assert document["hooks"] == list(tables.HOOKS)
    assert set(document["linux"]["namespaces"]) == set(tables.NAMESPACES)
    assert set(document["linux"]["capabilities"]) == set(tables.CAPABILITIES)


def test_mount_options() -> None:
    """Every name of config.md that MUST be recognized is there, and each is recognized."""
    names = features()["mountOptions"]
    assert set(names) >= MUST
    assert {"rro", "rnosuid", "tmpcopyup"} <= set(names)
    assert not parse_mount(names).data
    assert names == sorted(set(names))


# property of features -> what a config asks for it with
PROMISES = {
    "seccomp": ("linux", "seccomp", {"defaultAction": "SCMP_ACT_ALLOW"}),
    "apparmor": ("process", "apparmorProfile", "profile"),
    "selinux": ("process", "selinuxLabel", "label"),
    "intelRdt": ("linux", "intelRdt", {"closID": "x"}),
    "netDevices": ("linux", "netDevices", {"eth0": {}}),
}


@pytest.mark.parametrize("name", PROMISES)
def test_promises_are_kept(name: str) -> None:
    """What is said to be enabled can be planned; what is not is refused and not ignored."""
    config = default_config()
    section, key, value = PROMISES[name]
    config[section][key] = value
    assert features()["linux"][name]["enabled"] == plannable(config)


def test_idmap_promise() -> None:
    config = default_config()
    config["mounts"].append(
        {
            "destination": "/m",
            "source": "/s",
            "type": "none",
            "options": ["bind", "idmap"],
            "uidMappings": [{"containerID": 0, "hostID": 1000, "size": 1}],
            "gidMappings": [{"containerID": 0, "hostID": 1000, "size": 1}],
        }
    )
    extensions = features()["linux"]["mountExtensions"]
    assert extensions["idmap"]["enabled"] == plannable(config)
    assert ("idmap" in features()["mountOptions"]) == plannable(config)


def plannable(config: dict[str, Any]) -> bool:
    try:
        planned(config)
    except PlanError:
        return False
    return True


def test_flags_that_the_kernel_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Linux 5.15 knows all flags but SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (5.19)."""
    flag = "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"
    for known in (True, False):
        monkeypatch.setattr(Kernel, "knows_seccomp_flags", lambda *_, known=known: known)
        seccomp = features()["linux"]["seccomp"]
        assert flag in seccomp["knownFlags"]
        assert (flag in seccomp["supportedFlags"]) == known
        assert set(seccomp["knownFlags"]) - {flag} == set(seccomp["supportedFlags"]) - {flag}


def test_version_of_libseccomp(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under runc's key, as engines look for it; nothing is said where there is no library."""
    key = "io.github.seccomp.libseccomp.version"
    assert [int(part) for part in features()["annotations"][key].split(".")] >= [2, 5]
    monkeypatch.setattr("ociruntime.kernel.libseccomp.SONAME", "libabsent.so.0")
    assert key not in features()["annotations"]


def test_arguments_are_refused(tmp_path: Path) -> None:
    assert call(tmp_path, "features", "x").status == 1
