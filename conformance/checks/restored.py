"""The lifecycle of a container whose processes were restored from a checkpoint.

The specification knows no such operations; what it says of containers and their operations holds
for these all the same.
"""

from __future__ import annotations

import os
import shutil

from conformance.checks.deletion import judge_deletion
from conformance.container import Container
from conformance.registry import check
from conformance.schema import schema_faults
from conformance.trial import Trial

# A runtime finds CRIU in PATH; its streams lead nowhere outside of the container.
PROGRAM = os.environ.get("CRIU") or "criu"
SILENT = "exec </dev/null >/dev/null 2>&1; while :; do sleep 1; done"


def restored(t: Trial) -> Container:
    """A container that was written and restored under its id; skips the test where that is not to
    be had.
    """
    program = shutil.which(PROGRAM)
    t.need(program, "no CRIU here; name one by CRIU=PATH")
    where = os.path.dirname(os.path.abspath(str(program)))
    t.runtime.environment["PATH"] = f"{where}:/usr/sbin:/usr/bin:/sbin:/bin"
    t.need(t.runtime.call("restore", "--help").ok, "the runtime has no restore")
    bundle = t.bundle(SILENT)
    bundle.config["annotations"] = {"com.example.key": "value"}
    container = t.create(bundle).execute()
    images = str(t.directory / "images")
    options = ("--image-path", images, "--work-path", str(t.directory))
    taken = t.runtime.call("checkpoint", *options, container.id)
    t.need(taken.ok, f"no checkpoint can be made here: {taken.text}")
    back = t.runtime.call("restore", "--detach", *options, "--bundle", str(bundle.path),
                          container.id)  # fmt: skip
    t.need(back.ok, f"no checkpoint can be restored here: {back.text}")
    return t.adopt(container.id, bundle).hold()


@check("state.id", "state.pid", "state.bundle", "state.annotations", "state.status-running",
       "state.schema", "query.state")  # fmt: skip
def state_of_a_restored_container(t: Trial) -> None:
    """Reads the state of a container that was restored."""
    container = restored(t)
    state = container.state()
    t.expect("query.state", bool(state), "state answered")
    t.expect("state.id", state.get("id") == container.id, f"restored: {state.get('id')!r}")
    same = state.get("bundle") == str(container.bundle.path)
    t.expect("state.bundle", same, f"restored: bundle {state.get('bundle')!r}")
    notes = state.get("annotations") or {}
    kept = notes.get("com.example.key") == "value"
    t.expect("state.annotations", kept, f"restored: annotations {notes!r}")
    status = state.get("status")
    t.expect("state.status-running", status == "running", f"restored: status {status!r}")
    real = t.prefix in container.proc("cgroup")
    t.expect("state.pid", real, f"restored: pid {state.get('pid')!r} is in its cgroup: {real}")
    faults = schema_faults(state)
    t.expect("state.schema", not faults, f"restored: {', '.join(faults) or 'as the schema'}")


@check("kill.sends", "state.status-stopped", "start.not-created",
       "start.not-created-unharmed", "delete.running",
       "delete.resources", "lifecycle.destroyed", "query.unknown", "delete.id-again")  # fmt: skip
def life_of_a_restored_container(t: Trial) -> None:
    """Starts, deletes, kills and deletes a container that was restored, and uses its id again."""
    container = restored(t)
    result = container.attempt("start")
    t.expect("start.not-created", result.refused, "it was started" if result.ok else result.text)
    same = container.status
    t.expect("start.not-created-unharmed", same == "running", f"after start: {same}")
    result = container.attempt("delete")
    t.expect("delete.running", result.refused, "it was deleted" if result.ok else result.text)
    result = container.attempt("kill", "KILL")
    t.expect("kill.sends", result.ok, f"kill: {result.text}")
    container.wait()
    t.wait_for("status stopped", lambda: container.status != "running")
    t.expect("state.status-stopped", container.status == "stopped", f"killed: {container.status}")
    judge_deletion(t, container)
