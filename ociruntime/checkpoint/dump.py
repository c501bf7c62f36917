"""checkpoint: have CRIU write the container's processes into files, and remove the container unless
it is to go on.
"""

from __future__ import annotations

from ociruntime import hostos as os
from ociruntime.cgroups.detect import V2
from ociruntime.checkpoint import directory
from ociruntime.checkpoint import messages as m
from ociruntime.checkpoint.externals import externals, found_at
from ociruntime.checkpoint.program import Conversation, Criu, CriuError, find
from ociruntime.checkpoint.stillness import STOPPING, Stillness
from ociruntime.checkpoint.streams import DESCRIPTORS, Streams
from ociruntime.errors import OciError, WrongStatus
from ociruntime.jsontext import dumps
from ociruntime.kernel import constants as c
from ociruntime.kernel.kernel import Kernel
from ociruntime.lifecycle.delete import destroy
from ociruntime.plan.build import build
from ociruntime.plan.host import read_host
from ociruntime.plan.notify import mount
from ociruntime.plan.requests import CreateRequest
from ociruntime.state import status as st
from ociruntime.state.notify import is_offered
from ociruntime.steps.prepare import OpenNamespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ociruntime.checkpoint.options import CheckpointOptions, CriuOptions
    from ociruntime.process.step import Step
    from ociruntime.spec.documents import Config
    from ociruntime.state.store import Container

LOG = "dump.log"
LOG_LEVEL = 4
# CRIU's own configuration: this container's, else the host's (the files that runc and crun read).
ANNOTATION = "org.criu.config"
CONFIGURATIONS = ("/etc/criu/ociruntime.conf", "/etc/criu/crun.conf", "/etc/criu/runc.conf")
# Namespaces that are somebody else's stay there, and are handed in again at restore.
EXTERNAL_NAMESPACES = {"network": "net", "pid": "pid"}
ROOT_CURE = "run as root of the host"


def checkpoint(container: Container, wanted: CheckpointOptions, given: str | None) -> list[str]:
    """Checkpoint a container (loaded and locked); returns warnings.

    Parameters: ``given`` is --criu. Raises ``WrongStatus`` or ``CriuError`` without effect: the
    container goes on.
    """
    word = st.status(container)
    if word not in (st.RUNNING, st.PAUSED):
        raise WrongStatus(f"cannot checkpoint container {container.id} in the {word} state")
    kernel = Kernel()
    host = read_host(kernel)
    if not host.privileged:
        raise OciError(f"checkpoint: CRIU needs the rights of root over the host; {ROOT_CURE}")
    criu = Criu(find(given), container.store.root)
    if wanted.pre_dump:
        criu.require(mem_track=True)
    if wanted.lazy_pages:
        criu.require(lazy_pages=True)
    config = container.config()
    criu.require_kept(config)
    images = directory.make(wanted.image_path, "image-path")
    work = images
    try:
        directory.check(images, wanted.image_path)
        if wanted.work_path is not None:
            work = directory.make(wanted.work_path, "work-path", follow=True)
        options = {**wanted.for_version(criu.version), **common(work, LOG)}
        options["images_dir_fd"], options["work_dir_fd"] = images, work
        if wanted.parent_path is not None:
            directory.check_parent(images, wanted.parent_path)
            options["parent_img"] = wanted.parent_path
        options["track_mem"] = wanted.parent_path is not None or wanted.pre_dump
        config["mounts"] = [*(config.get("mounts") or ()), *container.data.get("added_mounts", ())]
        if is_offered(container):
            mount(config, f"{container.store.root}/{container.id}")
        options.update(own_configuration(config))
        options.update(_of_container(kernel, container, config, pre_dump=wanted.pre_dump))
        if not wanted.pre_dump:
            streams = Streams(kernel, container.data["pid"])
            options["external"] += streams.externals()
            directory.write(images, DESCRIPTORS, dumps(streams.keys).encode())
        # A pre-dump lets it go on before it writes anything.
        still = word == st.RUNNING and not wanted.pre_dump
        stillness = Stillness(container) if still else None
        _converse(container, criu, wanted, options, work, stillness)
    finally:
        for fd in {images, work}:
            os.close(fd)
    if wanted.leave_running or wanted.pre_dump:
        return []
    return destroy(container)


def common(work: int, log: str) -> dict[str, Any]:
    """What both requests have: the name of the ``log``, which is new, and notifications."""
    directory.clear(work, log)
    return {
        "log_file": log,
        "log_level": LOG_LEVEL,
        "notify_scripts": True,
        "orphan_pts_master": True,
    }


def own_configuration(config: Config) -> dict[str, Any]:
    """CRIU's configuration file: the annotation's, none where that is empty, else the host's."""
    annotations = config.get("annotations") or {}
    if ANNOTATION in annotations:
        named = annotations[ANNOTATION]
        return {"config_file": named} if named else {}
    for path in CONFIGURATIONS:
        if os.access(path, os.F_OK):
            return {"config_file": path}
    return {}


def _of_container(
    kernel: Kernel, container: Container, config: Config, *, pre_dump: bool
) -> dict[str, Any]:
    """What CRIU has to know of this container."""
    data = container.data
    options: dict[str, Any] = {"pid": data["pid"], "root": data["rootfs"]}
    saved = data.get("cgroup")
    frozen_by = freezer_of(saved["paths"], saved["mode"]) if saved else None
    if frozen_by:
        options["freeze_cgroup"] = frozen_by
    if saved and saved["paths"]:
        # Of a hierarchy that the container has no cgroup in CRIU would write all that others have
        # there, and have it made anew by restore.
        options["cgroup_dump_controller"] = list(saved["paths"])
    steps = steps_of(container, config)
    options["external"] = [
        f"{kind}[{inode}]:{key}" for kind, inode, key in _external_namespaces(kernel, steps)
    ]
    if not pre_dump:
        options["ext_mnt"] = found_at(kernel, data["pid"], externals(steps))
    return options


def freezer_of(paths: dict[str, str], mode: str) -> str | None:
    """The cgroup by which CRIU stops everything at once."""
    if mode == V2:
        return paths.get("")
    return next((path for key, path in paths.items() if "freezer" in key.split(",")), None)


def steps_of(container: Container, config: Config) -> list[Step]:
    """The plan that has made the container."""
    options = CreateRequest(container.id, container.store, container.data["bundle"])
    if (config.get("process") or {}).get("terminal"):
        options.console_fd = 0  # there was some console; none of these steps is executed
    return build(config, b"", read_host(Kernel()), options).steps


def _external_namespaces(kernel: Kernel, steps: list[Step]) -> list[tuple[str, int, str]]:
    """(CRIU's word for the kind, inode, key) of joined namespaces that stay where they are."""
    found = []
    for step in steps:
        if isinstance(step, OpenNamespace) and step.type in EXTERNAL_NAMESPACES:
            kind = EXTERNAL_NAMESPACES[step.type]
            step_fd = kernel.open(step.path, c.O_RDONLY | c.O_NONBLOCK)
            found.append((kind, kernel.stat(step_fd).ino, namespace_key(step.type)))
            kernel.close(step_fd)
    return found


def namespace_key(name: str) -> str:
    """What a joined namespace is called in the images."""
    return f"namespace-{name}"


def _converse(
    container: Container,
    criu: Criu,
    wanted: CheckpointOptions,
    options: dict[str, Any],
    work: int,
    stillness: Stillness | None,
) -> None:
    """Make the request and follow it to its end; raises ``CriuError``, or ``OciError`` when
    somebody holds CRIU up or deletes the container by force.
    """
    conversation = Conversation(criu.path, over=over("checkpoint", container))
    kind = m.PRE_DUMP if wanted.pre_dump else m.DUMP
    try:
        conversation.send({"type": kind, "opts": options})
        while True:
            answer, _ = conversation.receive()
            if answer["type"] != m.NOTIFY:
                break
            script = answer["notify"]["script"] if answer["notify"] else ""
            if script == "status-ready":
                _tell_ready(wanted.status_fd)
            elif script == STOPPING and stillness:
                stillness.begin(conversation)
            conversation.acknowledge()
    except CriuError as error:
        raise refused("checkpoint", str(error), work, LOG, wanted) from None
    finally:
        try:
            conversation.end()
        finally:
            if stillness:
                stillness.end()
    if not answer["success"]:
        raise refused("checkpoint", answer["cr_errmsg"], work, LOG, wanted)


def over(verb: str, container: Container) -> Callable[[], str]:
    """Of a conversation: why nobody needs what CRIU does with a container that we have locked."""
    def why() -> str:
        deleted = container.why_unwanted()
        return f"{verb}: {deleted}" if deleted else ""

    return why


def _tell_ready(fd: int) -> None:
    """--status-fd: the page server listens."""
    if fd >= 0:
        os.write(fd, b"\0")
        os.close(fd)


def refused(verb: str, said: str, work: int, log: str, wanted: CriuOptions) -> CriuError:
    """One line for a failure of CRIU, with what its log says first."""
    where = f"{wanted.work_path or wanted.image_path}/{log}"
    why = directory.first_errors(work, log) or said.strip() or "it says nothing"
    return CriuError(f"{verb}: CRIU has failed: {why}; its log is {where}")
