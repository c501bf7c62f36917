"""runtime.md: the state document."""

from __future__ import annotations

from functools import partial

from conformance.registry import check
from conformance.schema import SEMVER, STATUSES, schema_faults
from conformance.trial import Trial


@check("state.status-created", "state.status-running", "state.status-stopped", "state.status",
       "state.status-added", "query.state", "scope.operations")  # fmt: skip
def status_through_a_life(t: Trial) -> None:
    """Asks for the status after create, after start, and after the program's end."""
    container = t.create(t.bundle("probe sleep")).hold()
    seen = [container.status]
    t.expect("state.status-created", seen[0] == "created", f"after create: {seen[0]}")
    container.start()
    seen.append(container.status)
    t.expect("state.status-running", seen[1] == "running", f"after start: {seen[1]}")
    container.need("kill", "KILL")
    container.wait()
    t.wait_for("status stopped", lambda: container.status != "running")
    seen.append(container.status)
    t.expect("state.status-stopped", seen[2] == "stopped", f"after the end: {seen[2]}")
    t.expect("state.status", all(seen), f"status: {seen}")
    t.expect("state.status-added", set(seen) <= set(STATUSES), f"status: {seen}")
    t.expect("query.state", True, "state answered three times")
    result = container.delete()
    t.expect("scope.operations", result.ok, f"create, start, state, kill, delete: {result.text}")


@check("state.id", "state.oci-version", "state.pid", "state.bundle", "state.annotations",
       "state.schema")  # fmt: skip
def properties_of_a_running_container(t: Trial) -> None:
    """Reads each property of the state of a created and of a running container."""
    bundle = t.bundle()
    bundle.config["annotations"] = {"com.example.key": "value", "com.example.empty": ""}
    container = t.create(bundle)
    for moment in ("created", "running"):
        state = container.state()
        version = state.get("ociVersion")
        good = isinstance(version, str) and SEMVER.fullmatch(version)
        t.expect("state.oci-version", good, f"{moment}: ociVersion {version!r}")
        t.expect("state.id", state.get("id") == container.id, f"{moment}: {state.get('id')!r}")
        same = state.get("bundle") == str(bundle.path)
        t.expect("state.bundle", same, f"{moment}: bundle {state.get('bundle')!r}")
        notes = state.get("annotations") or {}
        kept = bundle.config["annotations"].items() <= notes.items()
        t.expect("state.annotations", kept, f"{moment}: annotations {notes!r}")
        pid = state.get("pid")
        real = isinstance(pid, int) and pid > 0
        if real:
            container.hold()
            real = t.prefix in container.proc("cgroup") or moment == "running"
        t.expect("state.pid", real, f"{moment}: pid {pid!r}")
        faults = schema_faults(state)
        t.expect("state.schema", not faults, f"{moment}: {', '.join(faults) or 'as the schema'}")
        if moment == "created":
            container.execute()
    command = container.proc("cmdline").replace("\0", " ").strip()
    t.expect("state.pid", command == "/bin/sleep 600", f"pid executes `{command}`")


@check("state.schema", "state.status-stopped", "state.annotations")
def properties_of_a_stopped_container(t: Trial) -> None:
    """Reads the state of a stopped container that has no annotations."""
    container = t.ran(t.bundle("true"))
    t.wait_for("status stopped", lambda: container.status == "stopped")
    state = container.state()
    t.expect("state.status-stopped", state.get("status") == "stopped", "status stopped")
    faults = schema_faults(state)
    t.expect("state.schema", not faults, ", ".join(faults) or "as the schema")
    notes = state.get("annotations")
    t.expect("state.annotations", not notes, f"without annotations: {notes!r}")


@check("state.bundle")
def bundle_given_by_a_relative_path(t: Trial) -> None:
    """Creates from a relative bundle path: the state has the absolute one."""
    bundle = t.bundle()
    name = bundle.path.name
    bundle.write()
    result = t.runtime.call(
        "create", "--bundle", name, name, cwd=bundle.path.parent, stdin=str(t.null)
    )
    t.expect("state.bundle", result.ok, f"create --bundle {name}: {result.text}")
    if result.ok:
        state = t.adopt(name, bundle).state()
        same = state.get("bundle") == str(bundle.path)
        t.expect("state.bundle", same, f"bundle {state.get('bundle')!r}")


@check("create.new", "delete.resources", seconds=120)
def fifty_at_once(t: Trial) -> None:
    """Creates, starts and deletes fifty containers at the same time."""
    bundles = [t.bundle("true") for _ in range(50)]
    results = t.at_once([partial(t.attempt_create, bundle, bundle.path.name) for bundle in bundles])
    failed = [result.text for result in results if not result.ok]
    containers = [
        t.adopt(bundle.path.name, bundle).hold()
        for bundle, result in zip(bundles, results, strict=True)
        if result.ok
    ]
    pids = {container.pid for container in containers}
    saw = f"{len(pids)} containers of 50; {len(failed)} failed {failed[:1]}"
    t.expect("create.new", len(pids) == len(bundles), saw)
    started = t.at_once([partial(container.attempt, "start") for container in containers])
    failed = [result.text for result in started if not result.ok]
    t.expect("create.new", not failed, f"{len(failed)} did not start {failed[:1]}")
    for container in containers:
        container.wait()
    deleted = t.at_once([container.delete for container in containers])
    failed = [result.text for result in deleted if not result.ok]
    t.expect("delete.resources", not failed, f"{len(failed)} were not deleted {failed[:1]}")


@check("state.id-unique", "create.id-in-use-not-created", "create.new", seconds=120)
def one_id_for_two_at_once(t: Trial) -> None:
    """Creates two containers of one id at the same time, with ten ids: one of each pair is made."""
    bundles = [(t.bundle(), t.bundle()) for _ in range(10)]
    calls = [
        partial(t.attempt_create, bundle, pair[0].path.name) for pair in bundles for bundle in pair
    ]
    results = t.at_once(calls)
    made = [int(one.ok) + int(other.ok) for one, other in zip(*[iter(results)] * 2, strict=True)]
    t.expect("state.id-unique", 2 not in made, f"{made.count(2)} of 10 ids were given twice")
    t.expect("create.new", 0 not in made, f"{made.count(0)} of 10 pairs of create both failed")
    winners = [t.adopt(pair[0].path.name, pair[0]) for pair, count in
               zip(bundles, made, strict=True) if count]  # fmt: skip
    held = sum(container.attempt("state").ok for container in winners)
    saw = f"of {len(winners)} that were made, {held} outlived the other create"
    t.expect("create.id-in-use-not-created", held == len(winners), saw)
