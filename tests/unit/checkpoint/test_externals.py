"""The keys of external mounts, and the names of streams."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ociruntime.arguments import parse
from ociruntime.checkpoint.externals import MountTable, externals
from ociruntime.checkpoint.options import RESTORE, RestoreOptions
from ociruntime.checkpoint.plan import restore_steps
from ociruntime.checkpoint.streams import DESCRIPTORS, handed_in, keys_in
from ociruntime.checkpoint.verify import is_unconfined
from ociruntime.errors import OciError, PlanError
from ociruntime.plan.build import Plan, build
from ociruntime.plan.requests import CreateRequest
from ociruntime.state.store import Store
from tests.unit.process.configs import engine_config
from tests.unit.process.inline import root_host

KEY = re.compile(r"^m[0-9]+$")
PARTS = st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=9)
PATHS = st.lists(PARTS.filter(lambda part: part not in (".", "..")), min_size=1, max_size=3)


def plan_of(config: dict[str, Any]) -> Plan:
    return build(config, b"{}", root_host(), CreateRequest("c1", Store("/run/x"), "/bundle"))


def with_binds(places: list[str]) -> dict[str, Any]:
    config = engine_config()
    config["process"]["terminal"] = False
    for place in places:
        entry = {"destination": place, "type": "bind", "source": "/src", "options": ["bind"]}
        config["mounts"].append(entry)
    return config


@given(st.lists(PATHS, max_size=6))
def test_keys(paths: list[list[str]]) -> None:
    """Distinct, numbers, and the same for the same place whatever else is mounted."""
    places = ["/" + "/".join(parts) for parts in paths]
    found = externals(plan_of(with_binds(places)).steps)
    keys = [item.key for item in found]
    assert len(set(keys)) == len(keys)
    assert all(KEY.match(key) for key in keys)
    if len(set(places)) == len(places):
        other = externals(plan_of(with_binds(places[::-1])).steps)
        assert {item.place: item.key for item in other} == {
            item.place: item.key for item in found
        }


def test_what_comes_from_outside() -> None:
    config = with_binds(["/data", "/data"])
    config["linux"]["maskedPaths"] = ["/proc/kcore"]
    config["linux"]["namespaces"] = [
        entry for entry in config["linux"]["namespaces"] if entry["type"] != "cgroup"
    ]
    kinds = [(item.kind, item.place) for item in externals(plan_of(config).steps)]
    assert kinds.count(("bind", "/data")) == 2
    assert ("mask", "/proc/kcore") in kinds
    assert not [place for kind, place in kinds if place in ("/proc", "/dev", "/sys")]


def test_the_plan_of_restore() -> None:
    """What create opens and limits, and CRIU in the place of init."""
    config = with_binds(["/data"])
    for entry in config["linux"]["namespaces"]:
        entry.pop("path", None)
    config["hooks"] = {
        phase: [{"path": "/bin/true"}]
        for phase in ("prestart", "createRuntime", "createContainer", "startContainer")
    }
    options = parse(["c1"], RESTORE, {}, stop_at_argument=False, command="restore")
    create = CreateRequest("c1", Store("/run/x"), "/bundle")
    steps = restore_steps(plan_of(config), config, create, RestoreOptions(options), None)
    kinds = [step.kind for step in steps]
    wanted = [
        "claim-state",
        "open-checkpoint",
        "open-rootfs",
        "create-cgroup",
        "start-criu",
        "reach-network",
        "run-hook",
        "run-hook",
        "restore-processes",
        "verify-mounts",
        "record-init",
        "limit-devices",
        "save-created",
        "let-run",
    ]
    assert [kind for kind in kinds if kind in wanted] == wanted
    assert "spawn" not in kinds
    assert all(step.side == "host" for step in steps)
    for step in steps:
        json.dumps(step.as_dict())
        assert step.describe().isprintable()


def test_what_criu_cannot_restore() -> None:
    options = parse(["c1"], RESTORE, {}, stop_at_argument=False, command="restore")
    create = CreateRequest("c1", Store("/run/x"), "/bundle")
    config = with_binds([])
    config["linux"]["namespaces"].append({"type": "time", "path": "/proc/1/ns/time"})
    with pytest.raises(PlanError, match="time namespace"):
        restore_steps(plan_of(config), config, create, RestoreOptions(options), None)
    config = with_binds([])
    config["mounts"] = []
    config["linux"] = {"namespaces": [{"type": "pid"}]}
    with pytest.raises(OciError, match="no mount namespace"):
        restore_steps(plan_of(config), config, create, RestoreOptions(options), None)


@pytest.mark.parametrize(
    ("text", "unconfined"),
    [
        (b"unconfined\n", True),
        (b"docker-default (enforce)\n", False),
        (b"system_u:system_r:container_t:s0:c1,c2\0", False),
        (b"", True),
    ],
)
def test_labels(text: bytes, unconfined: bool) -> None:
    assert is_unconfined(text) == unconfined


def test_mount_table() -> None:
    table = MountTable(
        "31 1 8:1 / / rw,relatime - ext4 /dev/x rw\n"
        "32 31 8:1 /a /a\\040b ro,nosuid shared:3 - ext4 /dev/x rw\n"
    )
    assert table.points[31] == ("/", frozenset({"rw", "relatime"}))
    assert table.points[32] == ("/a b", frozenset({"ro", "nosuid"}))


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ('["/dev/null", "pipe:[12]", "file[1f:a0]"]', ["", "pipe:[12]", "file[1f:a0]"]),
        ('["socket:[7]"]', ["socket:[7]"]),
        ('["pipe:[x]", "pipe:[1", 7]', ["", "", ""]),
        ('["file[1f]", "file[:1]", "file[1:zz]"]', ["", "", ""]),
        ('["extRootNetNS", "namespace-network", "net[1]"]', ["", "", ""]),
        ('["pipe:[1]", "", "", "pipe:[2]"]', ["pipe:[1]", "", ""]),
        ('{"0": "pipe:[1]"}', []),
        ("", []),
    ],
)
def test_names_of_streams(tmp_path: Path, text: str, keys: list[str]) -> None:
    """Nothing else than streams can be named by what came with the images."""
    (tmp_path / DESCRIPTORS).write_text(text)
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        assert keys_in(fd) == keys
    finally:
        os.close(fd)


def test_what_is_handed_in() -> None:
    """A descriptor for each name: the preserved one of several, else the first."""
    keys = ["pipe:[7]", "pipe:[1]", "pipe:[1]", "pipe:[7]", "", "file[1:2]"]
    assert handed_in(keys, [0, 1, 2, 3, 4, 5]) == {"pipe:[7]": 3, "pipe:[1]": 1, "file[1:2]": 5}
    assert handed_in(["", ""], [0, 1, 2]) == {}


def test_names_that_are_no_json(tmp_path: Path) -> None:
    (tmp_path / DESCRIPTORS).write_text("[")
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(OciError, match=r"descriptors\.json of the checkpoint"):
            keys_in(fd)
    finally:
        os.close(fd)
