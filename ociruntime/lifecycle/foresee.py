"""What `update` and `delete` would do to a container, as steps that can be told of (cold path).

They have no plan: they look at the container and act. Here the same is looked at, and nothing done.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from ociruntime.cgroups.detect import detect
from ociruntime.cgroups.files import read_file
from ociruntime.cgroups.resources import asked_of_update, settings_for
from ociruntime.cgroups.update import completed, switched_on
from ociruntime.errors import NOT_RUNNING, StateError, WrongStatus
from ociruntime.kernel.pids import is_alive
from ociruntime.lifecycle.kill import saved_group
from ociruntime.process.step import HOST
from ociruntime.state import status as st

TYPE_CHECKING = False
if TYPE_CHECKING:

    from ociruntime.cgroups.group import Group
    from ociruntime.cgroups.setting import Setting
    from ociruntime.spec.documents import ResourcesConfig
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
    container: Container, resources: ResourcesConfig, warnings: list[str]
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
        settings = settings_for(wanted, layout, warnings) + switched_on(group, wanted)
        steps += filter(None, (_written(group, setting) for setting in settings))
        rules = wanted.get("devices") or []
        if rules:
            text = f"replace the list of devices by one of {len(rules)} rules"
            pointer = "/linux/resources/devices"
            steps.append(Foreseen("replace-devices", pointer, text, {"rules": rules}, "limits"))
    finally:
        group.close()
    return steps


def _written(group: Group, setting: Setting) -> Foreseen | None:
    """The file that takes a setting on this kernel, and what is in it; None where none needs to."""
    places = [(setting.file, setting.value), (setting.other_file, setting.other_value)]
    for file, value in places[: 1 + bool(setting.other_file)]:
        try:
            directory = group.limits_directory(setting.controller)
            now = read_file(group.kernel, directory, file).strip()
        except FileNotFoundError:
            continue
        held = now.replace("\n", "; ") or "nothing"
        text = f"write {value} to {file}, which has {held}"
        data: dict[str, object] = {"file": file, "value": value, "now": now}
        return Foreseen("write-limit", setting.pointer, text, data, "limits")
    if setting.optional:
        return None
    text = f"write {setting.value} to {setting.file}, which this kernel does not have: it will fail"
    data = {"file": setting.file, "value": setting.value, "now": None}
    return Foreseen("write-limit", setting.pointer, text, data, "limits")


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
    rdt = data.get("rdt")
    for directory in rdt["remove"] if rdt else ():
        text = f"remove the resctrl group {directory}"
        steps.append(Foreseen("remove-rdt", "/linux/intelRdt", text, {}, "cgroup"))
    if "poststop" in data.get("hooks", ()):
        for index, hook in enumerate(container.config()["hooks"]["poststop"]):
            text, pointer = f"run {hook['path']}", f"/hooks/poststop/{index}"
            steps.append(Foreseen("run-hook", pointer, text, {"path": hook["path"]}, "hooks"))
    path = os.path.join(container.store.root, container.id)
    steps.append(Foreseen("remove-state", "", f"remove {path}", {"path": path}, "state"))
    return steps
