"""The plan of restore: that of create, with CRIU in the place of init.

prepare   what create opens, and the images
spawn     CRIU makes the namespaces
hooks     prestart, createRuntime
process   CRIU makes the rest; nothing runs
finish    it is looked at (``verify``), limited, recorded; then the processes go on
"""

from __future__ import annotations

from ociruntime.checkpoint.dump import own_configuration
from ociruntime.checkpoint.externals import externals
from ociruntime.checkpoint.restore import (
    LetRun,
    NoteClocks,
    OpenCheckpoint,
    Reach,
    Restoration,
    RestoreProcesses,
    StartCriu,
)
from ociruntime.checkpoint.stage import Stage, check_possible
from ociruntime.checkpoint.verify import VerifyMounts
from ociruntime.errors import OciError, PlanError
from ociruntime.kernel.kernel import Kernel
from ociruntime.lifecycle.create import carry_out, make_plan
from ociruntime.plan.host import read_host
from ociruntime.process.descriptors import check_preserved
from ociruntime.process.step import CONTAINER
from ociruntime.spec.tables import NAMESPACE_FILES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ociruntime.checkpoint.options import RestoreOptions
    from ociruntime.plan.build import Plan
    from ociruntime.plan.requests import CreateRequest
    from ociruntime.process.run import Run
    from ociruntime.process.step import Step
    from ociruntime.spec.documents import Config

# Of create's plan, in its order: before CRIU, and behind it.
BEFORE = (
    "claim-state",
    "make-notify-directory",
    "check-apparmor",
    "check-selinux",
    "open-hook-output",
    "connect-console",
    "open-namespace",
    "raise-open-limit",
    "make-idmap",
    "open-rootfs",
    "open-source",
    "open-idmapped-source",
    "open-filesystem",
    "make-nodes",
    "create-cgroup",
    "limit-resources-early",
    "open-cgroup-source",
    "make-rdt-class",
)
STARTED = ("settle-unit", "join-rdt-class", "delegate-cgroup", "move-net-devices")
HOOKS = ("prestart", "createRuntime")
BEHIND = (
    "record-init",
    "enter-delegated-cgroup",
    "limit-devices",
    "limit-resources",
    "restore-open-limit",
    "write-pid-file",
    "send-pidfd",
    "save-created",
)
# CRIU joins these by path; the others are handed in.
BY_PATH = ("ipc", "uts", "user", "mount")


def restore(
    config: Config,
    raw: bytes,
    options: CreateRequest,
    wanted: RestoreOptions,
    given: str | None,
    ready: Callable[[], None] | None = None,
) -> Run:
    """Restore a container; on failure nothing is left.

    Parameters: ``given`` is --criu; ``ready`` is called before anybody can see the container
    running. Returns the executed run as ``lifecycle.create`` does; the
    container is still locked, and its processes run. Raises ``OciError``.
    """
    kernel = Kernel()
    check_preserved(options.preserve_fds)
    host = read_host(kernel)
    if not host.privileged:
        raise OciError(
            "restore: CRIU needs the rights of root over the host; run as root of the host"
        )
    plan = make_plan(config, raw, host, options)
    steps = restore_steps(plan, config, options, wanted, given, ready)
    return carry_out(kernel, steps, plan.warnings, options)


def restore_steps(
    plan: Plan,
    config: Config,
    options: CreateRequest,
    wanted: RestoreOptions,
    given: str | None,
    ready: Callable[[], None] | None = None,
) -> list[Step]:
    """The steps; pure. Raises ``PlanError`` for what CRIU cannot join."""
    check_possible(plan.steps)
    before = _of(plan.steps, BEFORE)
    restoration = Restoration(wanted, given, {**own_configuration(config), **_joined(plan.steps)})
    outside = externals(plan.steps)
    inside = [step for step in plan.steps if step.side == CONTAINER]
    readonly = bool((config.get("root") or {}).get("readonly"))
    stage = Stage(f"{options.store.root}/{options.id}", inside, outside, readonly=readonly)
    return [
        before[0],
        OpenCheckpoint(restoration, config),
        *before[1:],
        StartCriu(restoration, stage, options.preserve_fds),
        *(Reach(step) for step in plan.steps if step.kind == "raise-loopback"),
        *_of(plan.steps, STARTED),
        *(step for step in plan.steps if getattr(step, "phase", "") in HOOKS),
        RestoreProcesses(restoration, ready),
        NoteClocks(),
        VerifyMounts(config, _attributes(inside)),
        *_of(plan.steps, BEHIND),
        LetRun(restoration, config),
    ]


def _of(steps: list[Step], kinds: tuple[str, ...]) -> list[Step]:
    return [step for step in steps if step.side != CONTAINER and step.kind in kinds]


def _attributes(steps: list[Step]) -> list[tuple[str, int]]:
    """(destination, MOUNT_ATTR_* flags) of what is mounted; of several at one place the last."""
    found: dict[str, int] = {}
    for step in steps:
        options = getattr(step, "options", None)
        if options is not None and step.kind in ("bind-mount", "mount"):
            found[step.destination] = options.attr_set  # type: ignore[attr-defined]
    return list(found.items())


def _joined(steps: list[Step]) -> dict[str, Any]:
    found = []
    for step in steps:
        if step.kind != "open-namespace":
            continue
        name: str = step.type  # type: ignore[attr-defined]
        path: str = step.path  # type: ignore[attr-defined]
        if name in BY_PATH:
            found.append({"ns": NAMESPACE_FILES[name], "ns_file": path})
        elif name in ("cgroup", "time"):
            raise PlanError(
                f"CRIU cannot restore into the {name} namespace {path}",
                step.pointer,
                "leave it out",
            )
    return {"join_ns": found} if found else {}
