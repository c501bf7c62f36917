"""What the planner gives a mount to be finished with, and in which order."""

from __future__ import annotations

from typing import Any

import pytest

from ociruntime.steps.mounts import AttachMount
from ociruntime.steps.touches import Touched
from tests.support.config import base_config
from tests.unit.plan.test_attributes import plan

IDS = [{"containerID": 0, "hostID": 1000, "size": 1}]
IDMAPPED = {"uidMappings": IDS, "gidMappings": IDS}
LABEL = "system_u:object_r:container_file_t:s0:c1,c2"


@pytest.mark.parametrize(
    ("entry", "touches"),
    [
        ({"type": "bind", "source": "/s", "options": ["ro"]}, ["Propagation Attributes", "Keep"]),
        (
            {"type": "bind", "source": "/s", "options": ["ro"], **IDMAPPED},
            ["Propagation MapIds Attributes", "Keep"],
        ),
        ({"type": "tmpfs"}, ["Attributes Keep"]),
        ({"type": "tmpfs", "options": ["tmpcopyup"]}, ["CopyImage Attributes Keep"]),
        ({"type": "tmpfs", "options": ["ro"]}, ["Attributes Keep Keep"]),
        (
            {"type": "tmpfs", "options": ["tmpcopyup", "ro"], **IDMAPPED},
            ["MapIds", "CopyImage Attributes Keep"],
        ),
        ({"type": "mqueue"}, ["LabelRoot Attributes Keep"]),
    ],
)
def test_touches(entry: dict[str, Any], touches: list[str]) -> None:
    config = base_config("c1", "M=1")
    config["linux"]["mountLabel"] = LABEL
    config["mounts"] = [{"destination": "/m", **entry}]
    steps = [step for step in plan(config).steps if isinstance(step, Touched)]
    assert [" ".join(type(one).__name__ for one in step.touches) for step in steps] == touches


def test_a_mount_that_is_changed_later_is_kept_for_each_change() -> None:
    config = base_config("c1", "M=1")
    config["mounts"] = [
        {"destination": "/m", "type": "tmpfs", "options": ["ro"]},
        {"destination": "/m", "options": ["remount", "rw"]},
        {"destination": "/m", "options": ["remount", "noexec"]},
    ]
    (made,) = (step for step in plan(config).steps if isinstance(step, AttachMount))
    first, second = made.touches[-2:]
    assert getattr(first, "pointers") == made.kept == ["/mounts/1", "/mounts/2"]  # noqa: B009
    assert getattr(second, "pointers") == ["/mounts/0"]  # noqa: B009
    assert made.operands()["kept"] == ["/mounts/1", "/mounts/2"]
