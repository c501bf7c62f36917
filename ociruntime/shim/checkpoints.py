"""Checkpoint, and Start of a container that was created from one.

Only a worker that is asked for either loads what CRIU needs.
"""

from __future__ import annotations

from ociruntime.lifecycle.create import read_bundle
from ociruntime.protobuf import BOOL, STRING, Message
from ociruntime.shim import messages as m
from ociruntime.shim import ttrpc
from ociruntime.shim.operations import CONFIG, create_options
from ociruntime.shim.task import RUNNING
from ociruntime.shim.ttrpc import RpcError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ociruntime.shim.options import ShimOptions
    from ociruntime.shim.service import Tasks
    from ociruntime.shim.task import Task
    from ociruntime.shim.worker import Operation
    from ociruntime.state.store import Store

OPTIONS_URL = "containerd.runc.v1.CheckpointOptions"
OPTIONS = Message(
    exit=(1, BOOL),
    open_tcp=(2, BOOL),
    external_unix_sockets=(3, BOOL),
    terminal=(4, BOOL),
    file_locks=(5, BOOL),
    empty_namespaces=(6, [STRING]),
    cgroups_mode=(7, STRING),
    image_path=(8, STRING),
    work_path=(9, STRING),
)
# Those of OPTIONS that are flags of the command.
FLAGS = {
    "open_tcp": "--tcp-established",
    "external_unix_sockets": "--ext-unix-sk",
    "terminal": "--shell-job",
    "file_locks": "--file-locks",
}
# What a checkpoint was allowed to take along, its restore may have: nothing asks again.
ALLOWED = ("--tcp-established", "--ext-unix-sk", "--file-locks")


async def checkpoint(tasks: Tasks, request: dict[str, Any]) -> dict[str, Any]:
    """Checkpoint: write the container's processes into files; it goes on unless told to exit."""
    task = tasks.task(request["id"])
    if task.status != RUNNING:
        text = f"cannot checkpoint container {task.id}: it is not running"
        raise RpcError(ttrpc.FAILED_PRECONDITION, text)
    words = checkpoint_words(request, task.options)
    await tasks.workers.run(write_container(task.store, task.id, words, task.options.criu_path))
    values = {"container_id": task.id, "checkpoint": request["path"]}
    tasks.publisher.publish(
        "/tasks/checkpointed", "TaskCheckpointed", m.TASK_CHECKPOINTED, values
    )
    return {}


def checkpoint_words(request: dict[str, Any], options: ShimOptions) -> list[str]:
    """The options of the command for a request; raises ``RpcError`` for unknown ones."""
    given = request["options"]
    values = OPTIONS.decode(b"")
    if given and given["type_url"]:
        if given["type_url"].rsplit("/", 1)[-1] != OPTIONS_URL:
            text = f"checkpoint options of type {given['type_url']}: use {OPTIONS_URL}"
            raise RpcError(ttrpc.INVALID_ARGUMENT, text)
        values = OPTIONS.decode(given["value"])
    words = [f"--image-path={values['image_path'] or request['path']}"]
    work = values["work_path"] or options.criu_work_path
    words += [f"--work-path={work}"] if work else []
    words += [flag for name, flag in FLAGS.items() if values[name]]
    words += [f"--empty-ns={name}" for name in values["empty_namespaces"]]
    words += [f"--manage-cgroups-mode={values['cgroups_mode']}"] if values["cgroups_mode"] else []
    return words if values["exit"] else [*words, "--leave-running"]


def write_container(store: Store, container_id: str, words: list[str], criu: str) -> Operation:
    """checkpoint with the options ``words``; ``criu`` is its path, empty for the one in PATH."""

    def work(_: int) -> tuple[int, list[str]]:
        from ociruntime.arguments import parse
        from ociruntime.checkpoint.dump import checkpoint
        from ociruntime.checkpoint.options import CHECKPOINT, CheckpointOptions

        options = parse(words, CHECKPOINT, {}, stop_at_argument=False, command="checkpoint")
        container = store.open_locked(container_id)
        return 0, checkpoint(container, CheckpointOptions(options), criu or None)

    return work


async def restore(tasks: Tasks, task: Task) -> int:
    """Start: what Create has mounted becomes a running container; its pid."""
    operation = restore_container(
        task.store, task.id, task.bundle, task.checkpoint, task.options
    )
    await tasks.making.make(task, task, lambda *how: tasks.workers.run(operation, *how))
    tasks.lifetimes.created(task)
    return task.pid


def restore_container(
    store: Store, container_id: str, bundle: str, images: str, options: ShimOptions
) -> Operation:
    """restore of the directory ``images``; the pid."""

    def work(console: int) -> tuple[int, list[str]]:
        from ociruntime.arguments import parse
        from ociruntime.checkpoint.options import RESTORE, RestoreOptions
        from ociruntime.checkpoint.plan import restore

        real, raw, config, warnings = read_bundle(bundle, CONFIG)
        words = [f"--image-path={images}", *ALLOWED]
        words += [f"--work-path={options.criu_work_path}"] if options.criu_work_path else []
        given = parse(words, RESTORE, {}, stop_at_argument=False, command="restore")
        wanted = create_options(store, container_id, real, console, options)
        run = restore(config, raw, wanted, RestoreOptions(given), options.criu_path or None)
        return run.pid, warnings + run.warnings

    return work
