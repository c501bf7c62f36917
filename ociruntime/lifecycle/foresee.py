"""What `update` and `delete` would do to a container, as steps that can be told of (cold path).

They have no plan: they look at the container and act. Here the same is looked at, and nothing done.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from ociruntime.cgroups.detect import detect
from ociruntime.cgroups.files import read_optional
from ociruntime.cgroups.resources import asked_of_update, settings_for
from ociruntime.cgroups.update import completed, switched_on
from ociruntime.errors import NOT_RUNNING, StateError, WrongStatus
from ociruntime.kernel.pids import is_alive
from ociruntime.lifecycle.kill import saved_group
from ociruntime.process.step import HOST
from ociruntime.state import status as st

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ociruntime.state.store import Container


@dataclass
class Foreseen:
    """Something that would be done by the command itself."""

    kind: str
    pointer: str
    text: str
    data: dict[str, object] = field(default_factory=dict)
    stage: str = ""
    side: str = HOST

    def describe(self) -> str:
        """One sentence for a person."""
        return self.text

    def operands(self) -> dict[str, object]:
        """The data."""
        return self.data


def update_steps(
    container: Container, resources: dict[str, Any], warnings: list[str]
) -> list[Foreseen]:
    """The files that `update` would write, with what is in them. Raises as `update`."""
    word = st.status(container)
    if word in (st.STOPPED, st.CREATING):
        raise WrongStatus(f"{NOT_RUNNING}: {container.id} is {word}")
    group = saved_group(container)
    if group is None:
        raise StateError(f"container {container.id} has no cgroup of its own that could be limited")
    steps: list[Foreseen] = []
    try:
        layout = detect(group.kernel)
        wanted = completed(group, asked_of_update(resources), layout)
        for setting in settings_for(wanted, layout, warnings) + switched_on(group, wanted):
            directory = group.limits_directory(setting.controller)
            now = read_optional(group.kernel, directory, setting.file).strip()
            text = f"write {setting.value} to {setting.file}, which has {now or 'nothing'}"
            data: dict[str, object] = {"file": setting.file, "value": setting.value, "now": now}
            steps.append(Foreseen("write-limit", setting.pointer, text, data, "limits"))
        rules = wanted.get("devices") or []
        if rules:
            text = f"replace the list of devices by one of {len(rules)} rules"
            pointer = "/linux/resources/devices"
            steps.append(Foreseen("replace-devices", pointer, text, {"rules": rules}, "limits"))
    finally:
        group.close()
    return steps


def delete_steps(container: Container, *, force: bool) -> list[Foreseen]:
    """What `delete` would remove. Raises ``WrongStatus`` where it would refuse."""
    word = st.status(container)
    if word in (st.RUNNING, st.PAUSED) and not force:
        raise WrongStatus(
            f"cannot delete container {container.id} that is not stopped: {word}; "
            "kill it first, or use --force"
        )
    data = container.data
    steps: list[Foreseen] = []
    if is_alive(data.get("pid", 0), data.get("start_time", 0)):
        text = f"kill process {data['pid']} and wait for its end"
        steps.append(Foreseen("kill", "", text, {"pid": data["pid"]}, "processes"))
    saved = data.get("cgroup")
    if saved and saved["paths"]:
        paths = sorted(set(saved["paths"].values()))
        text = f"kill what is left in, and remove, the cgroup {', '.join(paths)}"
        steps.append(Foreseen("remove-cgroup", "", text, {"paths": paths}, "cgroup"))
    for directory in (data.get("rdt") or {}).get("remove", ()):
        text = f"remove the resctrl group {directory}"
        steps.append(Foreseen("remove-rdt", "/linux/intelRdt", text, {}, "cgroup"))
    if "poststop" in data.get("hooks", ()):
        for index, hook in enumerate(container.config()["hooks"]["poststop"]):
            text, pointer = f"run {hook['path']}", f"/hooks/poststop/{index}"
            steps.append(Foreseen("run-hook", pointer, text, {"path": hook["path"]}, "hooks"))
    path = os.path.join(container.store.root, container.id)
    steps.append(Foreseen("remove-state", "", f"remove {path}", {"path": path}, "state"))
    return steps
