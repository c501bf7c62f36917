"""The numbers are the kernel's, and schema and tables have one vocabulary."""

from __future__ import annotations

import os
import resource
from typing import Any

import pytest

from ociruntime.spec import tables
from ociruntime.spec.schema import load_schema


def test_rlimits() -> None:
    for name, number in tables.RLIMITS.items():
        if hasattr(resource, name):
            assert number == getattr(resource, name), name
    assert sorted(tables.RLIMITS.values()) == list(range(16))


def test_scheduler_policies() -> None:
    for name, number in tables.SCHEDULER_POLICIES.items():
        if hasattr(os, name):
            assert number == getattr(os, name), name


def test_capabilities_are_numbered_without_gaps() -> None:
    assert sorted(tables.CAPABILITIES.values()) == list(range(41))
    assert tables.CAPABILITIES["CAP_CHOWN"] == 0
    assert tables.CAPABILITIES["CAP_SYS_ADMIN"] == 21
    assert tables.CAPABILITIES["CAP_CHECKPOINT_RESTORE"] == 40


def test_namespaces_are_those_of_this_kernel() -> None:
    assert tables.NAMESPACES.keys() == tables.NAMESPACE_FILES.keys()
    for kind, name in tables.NAMESPACE_FILES.items():
        assert os.path.exists(f"/proc/self/ns/{name}"), kind


def enums(schema: dict[str, Any], *path: str) -> set[str]:
    part: Any = schema
    for step in path:
        part = part[step]
    return set(part["enum"])


@pytest.mark.parametrize(
    ("table", "path"),
    [
        (tables.NAMESPACES, "Namespace properties type"),
        (tables.RLIMITS, "Process properties rlimits items properties type"),
        (tables.SCHEDULER_POLICIES, "Process properties scheduler properties policy"),
        (tables.SCHEDULER_FLAGS, "Process properties scheduler properties flags items"),
        (tables.IOPRIO_CLASSES, "Process properties ioPriority properties class"),
        (tables.DEVICE_TYPES, "Device properties type"),
        (tables.PROPAGATION, "Linux properties rootfsPropagation"),
        (tables.SECCOMP_ACTIONS, "Seccomp properties defaultAction"),
        (tables.SECCOMP_ACTIONS, "Syscall properties action"),
        (tables.SECCOMP_ARCHITECTURES, "Seccomp properties architectures items"),
        (tables.SECCOMP_FLAGS, "Seccomp properties flags items"),
        (tables.SECCOMP_OPERATORS, "Syscall properties args items properties op"),
        (tables.MEMORY_POLICY_MODES, "Linux properties memoryPolicy properties mode"),
        (tables.MEMORY_POLICY_FLAGS, "Linux properties memoryPolicy properties flags items"),
        (tables.PERSONALITY_DOMAINS, "Linux properties personality properties domain"),
    ],
)
def test_schema_has_the_vocabulary(table: dict[str, int], path: str) -> None:
    assert enums(load_schema("config")["$defs"], *path.split()) == table.keys()


def test_schema_has_hooks_and_capability_sets() -> None:
    schema = load_schema("config")
    assert schema["properties"]["hooks"]["properties"].keys() == tables.HOOKS.keys()
    capabilities = schema["$defs"]["Process"]["properties"]["capabilities"]
    assert tuple(capabilities["properties"]) == tables.CAPABILITY_SETS


def test_states() -> None:
    assert enums(load_schema("state"), "properties", "status") == set(tables.STATUSES)


def test_recursive_propagation_is_the_plain_one_and_more() -> None:
    for name in ("private", "shared", "slave", "unbindable"):
        assert tables.PROPAGATION[f"r{name}"] == tables.PROPAGATION[name] | tables.MS_REC
