"""What workers do: operations on one container, with the functions behind the command line.

Each returns an ``Operation`` for ``Workers.run``. Importing this module loads all that they need,
so that no worker loads it anew.
"""

from __future__ import annotations

from ociruntime import hostos as os
from ociruntime.bundle import parse_settings
from ociruntime.errors import NotFound
from ociruntime.lifecycle.create import create, read_bundle
from ociruntime.lifecycle.delete import delete, delete_by_force
from ociruntime.lifecycle.exec import exec_process
from ociruntime.lifecycle.kill import kill
from ociruntime.lifecycle.pause import pause, resume
from ociruntime.lifecycle.start import start
from ociruntime.lifecycle.update import update
from ociruntime.plan.requests import CreateRequest, ExecRequest
from ociruntime.shim.cleanup import note_root
from ociruntime.shim.rootfs import mount_rootfs, unmount_rootfs
from ociruntime.spec import load_process, load_resources
from ociruntime.state.ids import check_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ociruntime.shim.options import ShimOptions
    from ociruntime.shim.worker import Operation
    from ociruntime.spec.documents import ProcessConfig
    from ociruntime.state.store import Store

PID_FILE = "init.pid"
CONFIG = "config.json"


def create_options(
    store: Store, container_id: str, bundle: str, console: int, options: ShimOptions
) -> CreateRequest:
    """Those of the engine's options that create has; ``bundle`` is its real path."""
    return CreateRequest(
        check_id(container_id),
        store,
        bundle,
        pid_file=os.path.join(bundle, PID_FILE),
        console_fd=console,
        pivot=not options.no_pivot_root,
        new_keyring=not options.no_new_keyring,
        cgroup_manager="systemd" if options.systemd_cgroup else "cgroupfs",
    )


def create_container(
    store: Store, container_id: str, bundle: str, mounts: list[dict[str, Any]], options: ShimOptions
) -> Operation:
    """Mount the root filesystem and create the container; its pid."""

    def work(console: int) -> tuple[int, list[str]]:
        note_root(bundle, options.root)
        if mounts:
            mount_rootfs(mounts, bundle)
        try:
            real, raw, config, warnings = read_bundle(bundle, CONFIG)
            run = create(config, raw, create_options(store, container_id, real, console, options))
        except BaseException:
            if mounts:
                unmount_rootfs(bundle)
            raise
        return run.pid, warnings + run.warnings

    return work


def mount_container(
    bundle: str, mounts: list[dict[str, Any]], options: ShimOptions
) -> Operation:
    """Mount the root filesystem of a container that is made later (``checkpoints``)."""

    def work(_: int) -> tuple[int, list[str]]:
        note_root(bundle, options.root)
        if mounts:
            mount_rootfs(mounts, bundle)
        return 0, []

    return work


def start_container(store: Store, container_id: str) -> Operation:
    """Let the container's program run."""

    def work(_: int) -> tuple[int, list[str]]:
        return 0, start(store.open_locked(container_id))

    return work


def parse_process(spec: bytes) -> tuple[ProcessConfig, list[str]]:
    """(process, warnings) of its JSON text; raises ``OciError``."""
    process = parse_settings(spec, "process")
    return process, load_process(spec, process, source="process")


def run_process(store: Store, container_id: str, spec: bytes) -> Operation:
    """exec: run the process ``spec`` (JSON) in the container; its pid."""

    def work(console: int) -> tuple[int, list[str]]:
        container = store.open(container_id)
        process, warnings = parse_process(spec)
        run = exec_process(container, process, ExecRequest(console_fd=console))
        return run.pid, warnings + run.warnings

    return work


def delete_container(store: Store, container_id: str, bundle: str, *, force: bool) -> Operation:
    """Remove the container and unmount its root filesystem; one that is gone is no error."""

    def work(_: int) -> tuple[int, list[str]]:
        warnings: list[str] = []
        try:
            if force:
                warnings = delete_by_force(store, container_id)
            else:
                warnings = delete(store.open_locked(container_id))
        except NotFound:
            pass
        unmount_rootfs(bundle)
        return 0, warnings

    return work


def signal_container(
    store: Store, container_id: str, number: int, *, everything: bool
) -> Operation:
    """Send a signal to the first process, or to all processes."""

    def work(_: int) -> tuple[int, list[str]]:
        kill(store.open(container_id), number, everything=everything)
        return 0, []

    return work


def freeze_container(store: Store, container_id: str, *, frozen: bool) -> Operation:
    """pause and resume."""

    def work(_: int) -> tuple[int, list[str]]:
        change = pause if frozen else resume
        change(store.open_locked(container_id))
        return 0, []

    return work


def update_container(store: Store, container_id: str, resources: bytes) -> Operation:
    """Change limits; ``resources`` is linux.resources in JSON."""

    def work(_: int) -> tuple[int, list[str]]:
        wanted = parse_settings(resources, "resources")
        warnings = load_resources(resources, wanted, source="resources")
        return 0, warnings + update(store.open_locked(container_id), wanted, [])

    return work
