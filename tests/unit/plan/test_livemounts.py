"""The plan of `mounts add`: on which side each step is, and what no running container can get."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ociruntime.errors import OciError
from ociruntime.plan.livemounts import build
from ociruntime.process.step import CONTAINER, HOST
from tests.unit.process.inline import root_host

BIND = {"destination": "/mnt", "type": "bind", "source": "/x", "options": ["bind"]}


def plan(entry: dict[str, Any], namespaces: list[dict[str, str]]) -> tuple[list[Any], list[Any]]:
    container: Any = SimpleNamespace(id="c1", data={"bundle": "/b", "rootfs": "/b/rootfs"})
    config: Any = {"linux": {"namespaces": namespaces}, "mounts": [entry]}
    return build(container, config, root_host(), [])


def test_a_source_is_opened_on_the_host_and_mounted_in_the_container() -> None:
    before, inside = plan(BIND, [{"type": "mount"}])
    assert [(step.kind, step.side) for step in before] == [
        ("open-rootfs", HOST),
        ("open-source", HOST),
    ]
    assert [(step.kind, step.side) for step in inside] == [("bind-mount", CONTAINER)]


@pytest.mark.parametrize("kind", ["proc", "cgroup", "cgroup2"])
def test_what_only_its_own_processes_could_mount(kind: str) -> None:
    with pytest.raises(OciError, match=f"/mnt: a {kind} filesystem cannot be added"):
        plan({"destination": "/mnt", "type": kind}, [{"type": "mount"}])


def test_without_a_mount_namespace_it_would_be_mounted_on_the_host() -> None:
    with pytest.raises(OciError, match="no mount namespace of its own; create it with"):
        plan(BIND, [])
