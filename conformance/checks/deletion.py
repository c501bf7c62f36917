"""runtime.md: what delete removes, what it leaves, and what it refuses."""

from __future__ import annotations

from pathlib import Path

from conformance.container import Container
from conformance.registry import check
from conformance.trial import Trial


@check("delete.running", "delete.running-unharmed")
def delete_a_running_container(t: Trial) -> None:
    """Deletes a running container: refused, and it runs on."""
    bundle = t.bundle("while :; do echo on > /work/on; sleep 0.01; done")
    container = t.up(bundle)
    result = container.delete()
    t.expect("delete.running", result.refused, result.text)
    if result.ok:
        t.expect("delete.running-unharmed", None, "it was deleted")
        return
    mark = bundle.rootfs / "work" / "on"
    t.wait_for("the program's file", mark.exists)
    mark.unlink()
    t.wait_for("a sign of the program's life", mark.exists)
    t.expect("delete.running-unharmed", container.status == "running", "it writes on, running")


@check("delete.created")
def delete_a_created_container(t: Trial) -> None:
    """Deletes a container that was never started."""
    container = t.create()
    result = container.delete()
    t.expect("delete.created", result.refused, "it was deleted" if result.ok else result.text)


def judge_deletion(t: Trial, container: Container) -> None:
    """Delete a stopped container, look for what is left, and use its id again."""
    result = container.delete()
    t.expect("delete.resources", result.ok, f"delete: {result.text}")
    left = t.left_now(container.id)
    for sentence in ("delete.resources", "lifecycle.destroyed"):
        t.expect(sentence, not left, f"left: {left}" if left else "nothing is left")
    result = container.attempt("state")
    t.expect("query.unknown", result.refused, f"state: {result.text}")
    result = t.attempt_create(container.bundle, container.id)
    t.expect("delete.id-again", result.ok, "created again" if result.ok else result.text)
    if result.ok:
        t.adopt(container.id, container.bundle)


@check("delete.resources", "lifecycle.destroyed", "query.unknown", "delete.id-again")
def delete_removes_everything(t: Trial) -> None:
    """Deletes a stopped container, looks for what is left, and uses its id again."""
    bundle = t.bundle("true")
    bundle.add_mount("/work", "tmpfs")
    container = t.ran(bundle)
    t.wait_for("status stopped", lambda: container.status == "stopped")
    there = t.left_now(container.id)
    t.expect("delete.resources", there, f"before: {len(there)} things")
    judge_deletion(t, container)


@check("delete.others")
def delete_keeps_what_it_has_not_made(t: Trial) -> None:
    """Deletes a container with a bind mount, a joined namespace and a cgroup that were there."""
    bundle = t.bundle("true")
    source = t.directory / "source"
    source.mkdir()
    (source / "file").write_text("kept")
    bundle.bind(source, "/work", ["bind"])
    place = t.host_namespace("ipc")
    bundle.namespace("ipc", place)
    container = t.ran(bundle)
    t.wait_for("status stopped", lambda: container.status == "stopped")
    result = container.delete()
    t.expect("delete.others", result.ok, f"delete: {result.text}")
    kept = (source / "file").exists()
    t.expect("delete.others", kept, f"the source of the bind mount is there: {kept}")
    kept = t.is_namespace(place)
    t.expect("delete.others", kept, f"the namespace at its path is there: {kept}")
    kept = (bundle.rootfs / "bin").is_dir()
    t.expect("delete.others", kept, f"the root filesystem is there: {kept}")


@check("delete.others")
def delete_keeps_a_cgroup_that_was_there(t: Trial) -> None:
    """Deletes a container whose cgroup others had made before: it is still there."""
    controller = t.host.controller("pids")
    t.need(controller, "no pids controller is mounted")
    bundle = t.bundle("true")
    place = Path(f"{controller}{bundle.linux['cgroupsPath']}")
    t.make_cgroup(place)
    container = t.ran(bundle)
    t.wait_for("status stopped", lambda: container.status == "stopped")
    container.delete()
    kept = place.is_dir()
    t.expect("delete.others", kept, "the cgroup is still there" if kept else
             "delete removed a cgroup that was there before create")  # fmt: skip
