"""runtime.md: the operations, what they do and what they refuse."""

from __future__ import annotations

import json
import signal
from functools import partial
from pathlib import Path

from conformance.container import Container
from conformance.control import place, value
from conformance.registry import check
from conformance.trial import Trial


def _in_file(path: Path, word: str) -> bool:
    """Tell whether a word is in a file."""
    return word in path.read_text()


@check("operations.supported")
def operations_exist(t: Trial) -> None:
    """Uses create, state, start, kill and delete on one container."""
    container = t.create(t.bundle()).hold()
    for verb, args in (("state", ()), ("start", ()), ("kill", ("KILL",))):
        result = container.attempt(verb, *args)
        t.expect(
            "operations.supported", result.ok, f"{verb}: {'done' if result.ok else result.text}"
        )
    container.wait()
    t.wait_for("status stopped", lambda: container.status == "stopped")
    result = container.delete()
    t.expect("operations.supported", result.ok, f"delete: {'done' if result.ok else result.text}")


@check("query.no-id", "start.no-id", "kill.no-id", "delete.no-id", "create.no-id",
       "create.no-bundle")  # fmt: skip
def operations_without_arguments(t: Trial) -> None:
    """Calls each operation without an id, and create in a directory that is no bundle."""
    t.create()  # so that there is something they could be meant for
    for sentence, verb in (
        ("query.no-id", "state"), ("start.no-id", "start"), ("kill.no-id", "kill"),
        ("delete.no-id", "delete"),
    ):  # fmt: skip
        result = t.runtime.call(verb)
        t.expect(sentence, result.refused, f"{verb}: {result.text}")
    bundle = t.bundle()
    result = t.runtime.call("create", "--bundle", str(bundle.write().path))
    t.expect("create.no-id", result.refused, f"create: {result.text}")
    name = t.new_id()
    result = t.runtime.call("create", name, cwd=t.directory)
    t.expect("create.no-bundle", result.refused, f"create: {result.text}")
    result = t.runtime.call("create", "--bundle", str(t.directory / "absent"), name)
    t.expect("create.no-bundle", result.refused, f"create --bundle absent: {result.text}")
    left = t.left(name)
    t.expect("create.no-bundle", not left, f"left {left}" if left else "nothing left")


@check("query.unknown", "start.not-created", "kill.not-running")
def operations_on_an_id_that_nothing_has(t: Trial) -> None:
    """Calls state, start and kill with an id that no container has."""
    for sentence, args in (
        ("query.unknown", ("state", t.new_id())),
        ("start.not-created", ("start", t.new_id())),
        ("kill.not-running", ("kill", t.new_id(), "TERM")),
    ):
        result = t.runtime.call(*args)
        t.expect(sentence, result.refused, f"{args[0]}: {result.text}")


@check("create.id-in-use", "create.id-in-use-not-created", "state.id-unique", "errors.unchanged")
def create_with_an_id_in_use(t: Trial) -> None:
    """Creates another bundle with the id of a running container, then of a stopped one."""
    first = t.up(t.bundle("probe sleep"))
    before = first.state()
    for moment in ("running", "stopped"):
        second = t.bundle()
        result = t.attempt_create(second, first.id)
        t.expect("create.id-in-use", result.refused, f"{moment}: {result.text}")
        after = first.state()
        same = after.get("bundle") == before.get("bundle")
        t.expect("create.id-in-use-not-created", same, f"{moment}: bundle still {same}")
        t.expect("state.id-unique", same, f"{moment}: the id is still the first one's: {same}")
        left = t.left(second.path.name)
        t.expect("errors.unchanged", not left, f"{moment}: left {left}")
        alive = after.get("status") == moment
        t.expect("errors.unchanged", alive, f"the first container is {after.get('status')}")
        if moment == "running":
            first.need("kill", "KILL")
            first.wait()
            t.wait_for("status stopped", lambda: first.status == "stopped")


@check("create.id-invalid")
def create_with_an_invalid_id(t: Trial) -> None:
    """Creates with ids that would name another place: with a slash, .. and empty."""
    for name in ("../escape", "a/b", "..", ""):
        bundle = t.bundle()
        result = t.attempt_create(bundle, name)
        t.expect("create.id-invalid", result.refused, f"{name!r}: {result.text}")
        if result.ok:
            t.runtime.call("delete", "--force", name)
        left = t.left(bundle.path.name)
        t.expect("create.id-invalid", not left, f"{name!r} left {left}")


@check("create.new", "create.args-not-applied", "lifecycle.program-not-run", "start.runs",
       "lifecycle.program-run", "lifecycle.resources-created")  # fmt: skip
def program_runs_at_start(t: Trial) -> None:
    """Creates a container whose program writes a file, looks, starts it and looks again."""
    bundle = t.bundle("echo ran > /work/ran")
    written = bundle.rootfs / "work" / "ran"
    container = t.create(bundle).hold()
    t.expect("create.new", container.status == "created", f"status {container.status}")
    alive = Path("/proc", str(container.pid)).exists()
    t.expect("lifecycle.resources-created", alive, "the process is there")
    in_cgroup = container.id in container.proc("cgroup")
    t.expect("lifecycle.resources-created", in_cgroup, "it is in the configured cgroup")
    t.expect("create.args-not-applied", not written.exists(), "after create: nothing was run")
    t.expect("lifecycle.program-not-run", not written.exists(), "after create: nothing was run")
    container.run()
    ran = written.exists() and written.read_text() == "ran\n"
    t.expect("start.runs", ran, f"after start the file is there: {ran}")
    t.expect("lifecycle.program-run", ran, f"after start the file is there: {ran}")


@check("create.properties")
def properties_apply_at_create(t: Trial) -> None:
    """Creates a container and looks at hostname, mounts, root and limits before start."""
    bundle = t.bundle()
    bundle.config["hostname"] = "before-start"
    bundle.add_mount("/work", "tmpfs", "seen-before-start")
    bundle.config["root"]["readonly"] = True
    bundle.resources["pids"] = {"limit": 77}
    container = t.create(bundle)
    mounts = container.proc("mountinfo")
    t.expect("create.properties", " /work " in mounts, "the mount on /work is there")
    root = [line.split()[5] for line in mounts.splitlines() if line.split()[4] == "/"]
    read_only = bool(root) and "ro" in root[-1].split(",")
    t.expect("create.properties", read_only, f"the root has options {root}")
    name = in_uts(t, container)
    t.expect("create.properties", name == "before-start", f"hostname {name!r}")
    if t.host.controller("pids"):
        seen = value(place(t, container, "pids") / "pids.max")
        t.expect("create.properties", seen == "77", f"pids.max {seen}")


def in_uts(t: Trial, container: Container) -> str:
    """Return the host name in a container's UTS namespace."""
    return t.host_command("nsenter", f"--uts=/proc/{container.pid}/ns/uts", "uname", "-n").strip()


@check("create.config-changes", "lifecycle.config-updates")
def config_changes_after_create(t: Trial) -> None:
    """Rewrites config.json between create and start, with another program and hostname."""
    bundle = t.bundle("hostname; echo first")
    container = t.create(bundle).hold()
    bundle.config["hostname"] = "changed"
    bundle.process["args"] = ["/bin/sh", "-c", "echo second"]
    bundle.process["user"] = {"uid": 1, "gid": 1}
    bundle.write()
    words = container.run().output().split()
    for sentence in ("create.config-changes", "lifecycle.config-updates"):
        t.expect(sentence, words == ["conformance", "first"], f"the program wrote {words}")


@check("lifecycle.config-updates")
def config_removed_after_create(t: Trial) -> None:
    """Removes config.json between create and start: the container still starts and is deleted."""
    bundle = t.bundle("echo done")
    container = t.create(bundle).hold()
    (bundle.path / "config.json").unlink()
    words = container.run().output().strip()
    t.expect("lifecycle.config-updates", words == "done", f"the program wrote {words!r}")
    result = container.delete()
    t.expect("lifecycle.config-updates", result.ok, f"delete: {result.text}")


@check("start.not-created", "start.not-created-unharmed")
def start_again(t: Trial) -> None:
    """Starts a running container and a stopped one: refused, and nothing happens to them."""
    bundle = t.bundle("echo run >> /work/runs; probe sleep")
    container = t.up(bundle)
    runs = bundle.rootfs / "work" / "runs"
    t.wait_for("the program's first line", runs.exists)
    result = container.attempt("start")
    t.expect("start.not-created", result.refused, f"running: {result.text}")
    t.expect("start.not-created-unharmed", container.status == "running", "it is still running")
    container.need("kill", "KILL")
    container.wait()
    t.wait_for("status stopped", lambda: container.status == "stopped")
    result = container.attempt("start")
    t.expect("start.not-created", result.refused, f"stopped: {result.text}")
    t.expect("start.not-created-unharmed", container.status == "stopped", "it is still stopped")
    lines = runs.read_text().split()
    t.expect("start.not-created-unharmed", lines == ["run"], f"the program ran {len(lines)} time")


@check("start.no-process", "process.required-at-start")
def start_without_process(t: Trial) -> None:
    """Starts a container whose configuration has no process."""
    bundle = t.bundle()
    del bundle.config["process"]
    name = bundle.path.name
    result = t.attempt_create(bundle, name)
    words = f"create: {result.text}"
    if result.ok:
        container = t.adopt(name, bundle)
        result = container.attempt("start")
        words = f"start: {result.text}"
    for sentence in ("start.no-process", "process.required-at-start"):
        t.expect(sentence, result.refused, words)


@check("kill.sends")
def kill_sends_signals(t: Trial) -> None:
    """Sends six signals, by name and by number, to a program that writes down what comes."""
    bundle = t.bundle("probe signals /work/signals")
    container = t.up(bundle)
    heard = bundle.rootfs / "work" / "signals"
    t.wait_for("the program's handlers", lambda: heard.exists() and heard.read_text())
    names = ["HUP", "USR1", "USR2", "ALRM", "TERM", "WINCH"]
    for position, name in enumerate(names):
        word = name if position % 2 else str(int(signal.Signals[f"SIG{name}"]))
        container.need("kill", word)
        t.wait_for(f"{name} at the program", partial(_in_file, heard, name))
    seen = heard.read_text().split()[1:]
    t.expect("kill.sends", seen == names, f"sent {names}, heard {seen}")
    container.need("kill", "SIGKILL")
    container.wait()
    t.expect("kill.sends", True, "SIGKILL ended it")


@check("kill.sends")
def kill_a_created_container(t: Trial) -> None:
    """Sends SIGKILL to a container that has not been started: it stops."""
    container = t.create().hold()
    container.need("kill", "KILL")
    container.wait()
    t.wait_for("status stopped", lambda: container.status == "stopped")
    t.expect("kill.sends", True, "the process ended, status stopped")


@check("kill.not-running", "kill.not-running-unharmed")
def kill_a_stopped_container(t: Trial) -> None:
    """Sends a signal to a stopped container: refused, and it is as it was."""
    container = t.ran(t.bundle("true"))
    t.wait_for("status stopped", lambda: container.status == "stopped")
    before = json.dumps(container.state(), sort_keys=True)
    result = container.attempt("kill", "TERM")
    t.expect("kill.not-running", result.refused, result.text)
    same = json.dumps(container.state(), sort_keys=True) == before
    t.expect("kill.not-running-unharmed", same, f"the state is the same: {same}")
