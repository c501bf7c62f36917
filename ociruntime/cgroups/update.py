"""Changing the limits of a living container, all that is asked for or nothing."""

from __future__ import annotations

import errno

from ociruntime.cgroups.detect import detect
from ociruntime.cgroups.files import number, read_file, read_optional
from ociruntime.cgroups.resources import settings_for
from ociruntime.cgroups.setting import Setting
from ociruntime.cgroups.v2.convert import UNLIMITED
from ociruntime.errors import PlanError, StepError

TYPE_CHECKING = False
if TYPE_CHECKING:

    from ociruntime.cgroups.detect import Layout
    from ociruntime.cgroups.group import Group
    from ociruntime.spec.documents import ResourcesConfig


# A file whose value must not be set below what is used already, with checkBeforeUpdate -> the file
# that tells the use. v1's kernel refuses by itself.
USAGE = {
    "memory.max": "memory.current",
    "memory.swap.max": "memory.swap.current",
    "memory.limit_in_bytes": "memory.usage_in_bytes",
    "memory.memsw.limit_in_bytes": "memory.memsw.usage_in_bytes",
}
# Files of one line for each device or interface -> what removes the line of one that had none.
KEYED = {
    "io.max": "rbps=max wbps=max riops=max wiops=max",
    "io.weight": "default",
    "io.bfq.weight": "default",
    "rdma.max": "hca_handle=max hca_object=max",
    "net_prio.ifpriomap": "0",
    "blkio.weight_device": "0",
    "blkio.bfq.weight_device": "default",
    "blkio.throttle.read_bps_device": "0",
    "blkio.throttle.write_bps_device": "0",
    "blkio.throttle.read_iops_device": "0",
    "blkio.throttle.write_iops_device": "0",
}


def update(group: Group, resources: ResourcesConfig, warnings: list[str]) -> None:
    """Change the limits of a living container to what ``resources`` (as linux.resources) names.

    ``warnings`` collects what is ignored on purpose. Raises ``PlanError`` without effect, and
    ``StepError`` for what the kernel refuses: then everything is as before.
    """
    layout = detect(group.kernel)
    resources = completed(group, resources, layout)
    settings = settings_for(resources, layout, warnings) + switched_on(group, resources)
    if (resources.get("memory") or {}).get("checkBeforeUpdate"):
        check_usage(group, settings)
    before = [old for setting in settings if (old := previous(group, setting)) is not None]
    try:
        group.apply(settings)
        if resources.get("devices"):
            group.apply_devices(resources["devices"])
    except StepError:
        restore(group, before, warnings)
        raise


def restore(group: Group, before: list[Setting], warnings: list[str]) -> None:
    """Write back what ``previous`` has found; what is refused becomes a warning."""
    for setting in reversed(before):
        try:
            group.apply([setting])
        except StepError:
            # Values that limit each other: together they find an order.
            try:
                group.apply([item for item in before if item.controller == setting.controller])
            except StepError as error:
                warnings.append(f"not as before: {error}")


def completed(group: Group, resources: ResourcesConfig, layout: Layout) -> ResourcesConfig:
    """``resources`` with the present other half of values that cgroup v2 keeps in one file, or
    counts in another way: quota and period, memory and memory with swap.
    """
    unified = layout.unified
    if unified is None:
        return resources
    result = resources.copy()
    cpu = (resources.get("cpu") or {}).copy()
    if "cpu" in unified.controllers and bool(cpu.get("quota")) != bool(cpu.get("period")):
        quota, _, period = _read(group, "cpu", "cpu.max").partition(" ")
        cpu["quota"] = cpu.get("quota") or number(quota, UNLIMITED)
        cpu["period"] = cpu.get("period") or number(period, 0)
        result["cpu"] = cpu
    memory = (resources.get("memory") or {}).copy()
    if "memory" in unified.controllers and not memory.get("limit"):
        swap = memory.get("swap")
        if swap and swap != UNLIMITED:
            limit = number(_read(group, "memory", "memory.max"), UNLIMITED)
            if limit == UNLIMITED:
                pointer = "/linux/resources/memory/swap"
                raise PlanError(
                    f"linux.resources.memory.swap: {swap} includes memory, which is not limited",
                    pointer,
                    "set memory.limit too",
                )
            memory["limit"] = limit
            result["memory"] = memory
    return result


def switched_on(group: Group, resources: ResourcesConfig) -> list[Setting]:
    """disableOOMKiller false, which at create is what a cgroup has anyway: v1 alone can change."""
    if (resources.get("memory") or {}).get("disableOOMKiller") is not False:
        return []
    if group.placement.find("memory") is None:
        return []
    file, pointer = "memory.oom_control", "/linux/resources/memory/disableOOMKiller"
    text = _read(group, "memory", file)
    return [Setting("memory", file, "0", pointer)] if "oom_kill_disable 1" in text else []


def check_usage(group: Group, settings: list[Setting]) -> None:
    """memory.checkBeforeUpdate: refuse a limit below what is in use, instead of having the kernel
    kill for it.

    Raises ``StepError`` (EBUSY) before anything is written.
    """
    for setting in settings:
        limit = number(setting.value, UNLIMITED)
        if setting.file in USAGE and limit != UNLIMITED:
            used = number(_read(group, setting.controller, USAGE[setting.file]), 0)
            if used > limit:
                detail = f"{used} bytes are in use; raise the limit, or unset checkBeforeUpdate"
                raise StepError(setting.label, errno.EBUSY, detail)


def previous(group: Group, setting: Setting) -> Setting | None:
    """The setting that takes ``setting`` back; None when that cannot be told from the file, or when
    there is no such file.
    """
    for file, value in ((setting.file, setting.value), (setting.other_file, setting.other_value)):
        if not file:
            continue
        try:
            text = read_file(group.kernel, group.limits_directory(setting.controller), file)
        except OSError:
            continue  # `apply` will tell what is wrong with it
        old = old_value(file, value, text)
        return None if old is None else Setting(setting.controller, file, old, setting.pointer)
    return None


def old_value(file: str, value: str, text: str) -> str | None:
    """What to write to ``file``, which holds ``text`` now, to take back a writing of ``value``."""
    if file == "memory.oom_control":
        return text.split()[1]
    if file not in KEYED:
        # An empty value is written as an empty line: nothing at all would be no write.
        return None if "\n" in text else text or "\n"
    key = value.partition(" ")[0]
    for line in text.split("\n"):
        if line.partition(" ")[0] == key:
            return line
    return f"{key} {KEYED[file]}"


def _read(group: Group, controller: str, file: str) -> str:
    return read_optional(group.kernel, group.limits_directory(controller), file)
