"""What the planner makes of the config's rarer properties."""

from __future__ import annotations

import os
from typing import Any

import pytest

from ociruntime.errors import PlanError
from ociruntime.plan.attributes import (
    affinity,
    execution_steps,
    number_list,
    scheduling_steps,
)
from ociruntime.plan.build import Plan, build
from ociruntime.plan.host import Host
from ociruntime.plan.requests import CreateRequest
from ociruntime.state.store import Store
from tests.support.config import base_config

from ..process.inline import layout

MAPPING = [{"containerID": 0, "hostID": 1000, "size": 1}]
OTHER = [{"containerID": 0, "hostID": 2000, "size": 1}]
LABEL = "system_u:object_r:container_file_t:s0:c1,c2"


def plan(config: dict[str, Any], *, euid: int = 0) -> Plan:
    host = Host(euid, euid, (1 << 41) - 1, 40, layout(), in_userns=False)
    return build(config, b"{}", host, CreateRequest("c1", Store("/state"), "/bundle"))


def operands(config: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    steps = [step.as_dict() for step in plan(config).steps]
    return [step["operands"] for step in steps if step["step"] == kind]  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("", []), (" ", []), ("3", [3]), ("0-2, 7", [0, 1, 2, 7]), ("2,1,1-2", [1, 2])],
)
def test_number_list(text: str, numbers: list[int]) -> None:
    assert number_list(text, "/x") == numbers


def test_number_list_is_bounded() -> None:
    """A mask of 4 billion bits is not made."""
    with pytest.raises(PlanError, match="no number 4294967295"):
        number_list("0-4294967295", "/linux/memoryPolicy/nodes")


def test_scheduler() -> None:
    process = {
        "scheduler": {
            "policy": "SCHED_DEADLINE",
            "flags": ["SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_RECLAIM"],
            "runtime": 1,
            "deadline": 2,
            "period": 3,
        },
        "ioPriority": {"class": "IOPRIO_CLASS_RT", "priority": 5},
    }
    scheduler, priority = (step.operands() for step in scheduling_steps(process))
    assert (scheduler["policy"], scheduler["flags"], scheduler["times"]) == (6, 3, [1, 2, 3])
    assert priority["value"] == 1 << 13 | 5


def test_memory_policy_flags() -> None:
    policy = {"mode": "MPOL_BIND", "nodes": "0-1", "flags": ["MPOL_F_STATIC_NODES"]}
    (step,) = execution_steps({"memoryPolicy": policy})
    assert step.operands() == {"mode": 2 | 1 << 15, "nodes": [0, 1]}


def test_labels_are_kept_for_exec() -> None:
    config = base_config("c1", "MARK=1")
    assert plan(config).state["labels"] == {}
    config["process"]["selinuxLabel"] = LABEL
    assert plan(config).state["labels"] == {"selinuxLabel": LABEL}


def test_affinity_before_and_in_the_cgroup() -> None:
    mask, steps = affinity({"execCPUAffinity": {"initial": "0,65", "final": "1"}})
    assert mask == b"\1" + bytes(7) + b"\2" + bytes(7)
    assert [step.kind for step in steps] == ["pin-process"]


def test_nothing_asked_for() -> None:
    assert scheduling_steps({}) == execution_steps({}) == []
    assert affinity({}) == (b"", [])


def test_two_labels() -> None:
    config = base_config("c1", "M=1")
    config["process"].update(apparmorProfile="p", selinuxLabel="l")
    with pytest.raises(PlanError, match="no host has both"):
        plan(config)


@pytest.mark.parametrize(
    ("name", "attribute", "text"),
    [("apparmorProfile", "apparmor/exec", "exec p"), ("selinuxLabel", "exec", "p")],
)
def test_label(name: str, attribute: str, text: str) -> None:
    config = base_config("c1", "M=1")
    config["process"][name] = "p"
    (found,) = operands(config, "exec-init")
    assert found["identity"]["lsm"] == [attribute, text]
    kinds = [step.kind for step in plan(config).steps]
    assert kinds.index("open-proc") < kinds.index("attach-rootfs") < kinds.index("exec-init")


def test_mount_label() -> None:
    """On new filesystems, except those that SELinux labels itself; mqueue takes it as an xattr."""
    config = base_config("c1", "M=1")
    config["linux"]["mountLabel"] = LABEL
    mounts = operands(config, "mount")
    labelled = {mount["destination"]: mount["options"]["data"][-1:] for mount in mounts}
    assert labelled["/dev/shm"] == labelled["/dev/pts"] == [f"context={LABEL}"]
    assert labelled["/proc"] == labelled["/sys"] == []
    assert labelled["/dev/mqueue"] == []
    (mqueue,) = (mount for mount in mounts if mount["destination"] == "/dev/mqueue")
    assert mqueue["selinux_label"] == LABEL
    assert {mask["label_option"] for mask in operands(config, "mask-path")} == {f"context={LABEL}"}
    assert f"context={LABEL}" in operands(config, "mount-cgroup")[0]["tmpfs"]


def test_mount_label_of_another_kind() -> None:
    config = base_config("c1", "M=1")
    config["linux"]["mountLabel"] = LABEL
    config["annotations"] = {"run.oci.mount_context_type": "rootcontext"}
    labels = [mount["options"]["data"][-1:] for mount in operands(config, "mount")]
    assert [f"rootcontext={LABEL}"] in labels
    config["annotations"] = {"run.oci.mount_context_type": "nonsense"}
    with pytest.raises(PlanError, match="defcontext"):
        plan(config)


def test_one_user_namespace_for_equal_mappings() -> None:
    config = base_config("c1", "M=1")
    for mappings in (MAPPING, MAPPING, OTHER):
        config["mounts"].append(
            {
                "destination": "/m",
                "type": "bind",
                "source": "/s",
                "options": ["bind"],
                "uidMappings": mappings,
                "gidMappings": MAPPING,
            }
        )
    assert [made["name"] for made in operands(config, "make-idmap")] == ["idmap:0", "idmap:1"]
    sources = operands(config, "open-idmapped-source")
    assert [source["idmap"] for source in sources] == ["idmap:0", "idmap:0", "idmap:1"]


def test_net_device_names_fit_the_kernel() -> None:
    config = base_config("c1", "M=1")
    name = "é" * 8
    assert len(os.fsencode(name)) > 15
    config["linux"]["netDevices"] = {"eth0": {"name": name}}
    with pytest.raises(PlanError, match="longer than 15 bytes"):
        plan(config)


def test_groups_of_a_single_mapping() -> None:
    config = base_config("c1", "M=1")
    config["linux"]["namespaces"].append({"type": "user"})
    config["linux"].update(uidMappings=MAPPING, gidMappings=MAPPING)
    config["linux"]["resources"] = {}
    config["mounts"] = []
    (found,) = (step for step in plan(config, euid=1000).steps if step.kind == "become-root")
    assert found.operands() == {"setgroups": False}
    config["linux"]["gidMappings"] = OTHER
    (found,) = (step for step in plan(config, euid=1000).steps if step.kind == "become-root")
    assert found.operands() == {"setgroups": True}
