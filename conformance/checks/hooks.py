"""config.md and runtime.md: hooks, when they are called, where, and what their failure does."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path
from typing import Any

from conformance.bundle import Bundle
from conformance.container import UnfitError
from conformance.registry import add, check
from conformance.schema import schema_faults
from conformance.trial import Trial

KINDS = (
    "prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop",
)  # fmt: skip
AT_CREATE = KINDS[:3]
AT_START = KINDS[3:5]
IN_CONTAINER = ("createContainer", "startContainer")
NAMESPACES = ("mnt", "uts", "ipc", "pid")

# $1 is the hook's name, $2 the directory for what it finds out, $3 a cgroup.
SCRIPT = """#!/bin/sh
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
name=$1 dir=$2
cat >"$dir/$name.state"
echo "$name" >>"$dir/order"
for ns in mnt uts ipc pid; do readlink /proc/self/ns/$ns; done >"$dir/$name.ns"
pid=$(tr -d '\\n' <"$dir/$name.state" | sed -n 's/.*"pid": *\\([0-9][0-9]*\\).*/\\1/p')
if [ -n "$pid" ] && [ -d "/proc/$pid" ]; then
	for ns in mnt uts ipc pid; do readlink "/proc/$pid/ns/$ns"; done >"$dir/$name.init"
	tr '\\000' ' ' <"/proc/$pid/cmdline" >"$dir/$name.cmdline"
	[ -e "/proc/$pid/root$dir" ] && echo yes >"$dir/$name.before-pivot"
fi
[ -n "$3" ] && [ -d "$3" ] && echo yes >"$dir/$name.cgroup"
exit 0
"""


class Hooks:
    """A bundle's hooks, which write down what they see."""

    def __init__(self, t: Trial, bundle: Bundle) -> None:
        self.trial = t
        self.bundle = bundle
        self.outside = t.directory / "hooks"
        self.outside.mkdir(exist_ok=True)
        self.inside = bundle.rootfs / "work"
        for path in (self.outside / "hook", bundle.rootfs / "hook"):
            path.write_text(SCRIPT)
            path.chmod(0o755)
        controller = t.host.controller("pids")
        self.cgroup = f"{controller}{bundle.linux['cgroupsPath']}" if controller else ""

    def add(self, kind: str, name: str) -> None:
        """Append a hook of this kind that writes down what it sees under this name."""
        if kind == "startContainer":
            self.bundle.hook(kind, "/hook", name, "/work")
        else:
            self.bundle.hook(kind, str(self.outside / "hook"), name, str(self.outside), self.cgroup)

    def path(self, kind: str, name: str) -> Path:
        """Return where a hook of this kind writes what is called `name`."""
        return (self.inside if kind == "startContainer" else self.outside) / name

    def read(self, kind: str, name: str) -> str:
        """Return what a hook has written, "" if it has not."""
        path = self.path(kind, name)
        return path.read_text() if path.exists() else ""

    def state(self, kind: str, name: str) -> dict[str, Any]:
        """Return the state that a hook was given; raises UnfitError if it is not one."""
        text = self.read(kind, f"{name}.state")
        try:
            found = json.loads(text)
        except ValueError:
            raise UnfitError(f"the {kind} hook was given no JSON: {text[:200]!r}") from None
        if not isinstance(found, dict):
            raise UnfitError(f"the {kind} hook was given no object: {text[:200]!r}")
        return found


def life(t: Trial, kind: str) -> None:
    """Take a container with one hook of a kind through its life."""
    bundle = t.bundle("echo program >> /work/order; exec sleep 600")
    hooks = Hooks(t, bundle)
    hooks.add(kind, "hook")
    container = t.create(bundle).hold()
    namespaces = [os.readlink(f"/proc/{container.pid}/ns/{name}") for name in NAMESPACES]
    called = [bool(hooks.read(kind, "hook.state"))]
    container.start()
    called.append(bool(hooks.read(kind, "hook.state")))
    t.wait_for("the program's line", lambda: "program" in hooks.read("startContainer", "order"))
    container.need("kill", "KILL")
    container.wait()
    t.wait_for("status stopped", lambda: container.status == "stopped")
    before_delete = bool(hooks.read(kind, "hook.state"))
    result = container.delete()
    called.append(bool(hooks.read(kind, "hook.state")))
    t.expect(f"lifecycle.{kind}-invoked", called[-1], f"called: {called[-1]}")
    t.expect(
        f"hooks.{kind}-path", called[-1], f"its path, which is only there, was found: {called[-1]}"
    )
    if not called[-1]:
        raise UnfitError(f"the {kind} hook was not called; delete: {result.text}")
    judge_moment(t, kind, hooks, called=called, before_delete=before_delete)
    judge_place(t, kind, hooks, namespaces)
    state = hooks.state(kind, "hook")
    known = state.get("id") == container.id and state.get("bundle") == str(bundle.path)
    t.expect(
        "hooks.state",
        known,
        f"{kind}: given id {state.get('id')!r}, bundle {state.get('bundle')!r}",
    )
    faults = schema_faults(state)
    t.expect("hooks.state", not faults, f"{kind}: {', '.join(faults) or 'as the schema'}")
    if kind == "poststop":
        status = state.get("status")
        t.expect("hooks.state", status == "stopped", f"{kind}: status {status}")
    if kind in IN_CONTAINER:
        seen = state.get("pid")
        t.expect("state.pid-in-container-hooks", seen == 1, f"{kind}: pid {seen}, inside it is 1")
    elif kind != "poststop":
        seen = state.get("pid")
        same = seen == container.pid
        t.expect("state.pid-in-runtime-hooks", same, f"{kind}: pid of the process: {same}")


def judge_moment(
    t: Trial, kind: str, hooks: Hooks, *, called: list[bool], before_delete: bool
) -> None:
    """Judge when a hook was called; `called` is by the ends of create, start and delete."""
    words = ["by the end of create", "by the end of start", "by the end of delete"]
    moment = words[called.index(True)]
    if kind in AT_CREATE:
        t.expect(f"hooks.{kind}-when", called[0], f"called {moment}")
    elif kind == "startContainer":
        order = hooks.read(kind, "order").split()
        good = not called[0] and order == ["hook", "program"]
        t.expect(f"hooks.{kind}-when", good, f"called {moment}; order: {order}")
    elif kind == "poststart":
        command = hooks.read(kind, "hook.cmdline").strip()
        good = not called[0] and called[1] and command.startswith(("/bin/sh -c", "sleep"))
        t.expect(f"hooks.{kind}-when", good, f"called {moment}; the process executed `{command}`")
    else:
        gone = not hooks.read(kind, "hook.cgroup")
        good = not before_delete and called[2] and gone
        t.expect(f"hooks.{kind}-when", good, f"called {moment}; the cgroup was gone: {gone}")


def judge_place(t: Trial, kind: str, hooks: Hooks, namespaces: list[str]) -> None:
    """Judge in which namespaces a hook was called, and in which environment."""
    seen = hooks.read(kind, "hook.ns").split()
    runtime = [os.readlink(f"/proc/self/ns/{name}") for name in NAMESPACES]
    wanted = namespaces if kind in IN_CONTAINER else runtime
    other = [name for name, a, b in zip(NAMESPACES, seen, wanted, strict=False) if a != b]
    words = f"not in the right {', '.join(other)} namespace" if other else "in the right namespaces"
    t.expect(f"hooks.{kind}-namespace", len(seen) == 4 and not other, words)
    if kind not in AT_CREATE:
        return
    made = seen if kind == "createContainer" else hooks.read(kind, "hook.init").split()
    good = made[:3] == namespaces[:3]
    t.expect(f"hooks.{kind}-environment", good, f"the container's namespaces were there: {good}")
    pivot = kind == "createContainer" or hooks.read(kind, "hook.before-pivot")
    t.expect(f"hooks.{kind}-pivot", pivot, "the host's root was the process's root"
             if pivot else "the process had another root already")  # fmt: skip


def failing(t: Trial, kind: str) -> None:
    """Let a hook of a kind fail."""
    bundle = t.bundle("echo program >> /work/order; exec sleep 600")
    hooks = Hooks(t, bundle)
    bundle.hook(kind, "/bin/false")
    hooks.add("poststop", "after")
    name = bundle.path.name
    result = t.attempt_create(bundle, name)
    prefix = f"lifecycle.{kind}-fails"
    if result.ok:
        container = t.adopt(name, bundle)
        result = container.attempt("start") if kind in AT_START else result
    # That it was create which failed for a hook of start, hooks.KIND-when judges.
    t.expect(f"{prefix}-error", result.refused, f"{t.verb(result)}: {result.text}")
    left = t.left(name)
    gone = "nothing is left" if not left else f"left: {', '.join(left[:3])}"
    t.expect(f"{prefix}-destroyed", not left, gone)
    called = bool(hooks.read("poststop", "after.state"))
    t.expect(f"{prefix}-poststop", called, f"poststop called: {called}")


@check("lifecycle.poststop-fails", "lifecycle.poststop-fails-warning")
def failing_poststop(t: Trial) -> None:
    """Deletes a container whose first poststop hook fails and whose second writes a file."""
    bundle = t.bundle("true")
    hooks = Hooks(t, bundle)
    bundle.hook("poststop", "/bin/false")
    hooks.add("poststop", "second")
    container = t.ran(bundle)
    t.wait_for("status stopped", lambda: container.status == "stopped")
    log = t.directory / "log"
    result = t.runtime.call("--debug", "--log", str(log), "delete", container.id)
    container.deleted = result.ok
    called = bool(hooks.read("poststop", "second.state"))
    t.expect("lifecycle.poststop-fails", called, f"the second was called: {called}")
    left = t.left(container.id)
    t.expect("lifecycle.poststop-fails", not left, f"left: {left}")
    t.expect("lifecycle.poststop-fails", result.ok, f"delete: {result.text}")
    words = result.stdout + result.stderr + (log.read_text() if log.exists() else "")
    said = "hook" in words or "poststop" in words or "/bin/false" in words
    t.expect("lifecycle.poststop-fails-warning", said, "logged" if said else "no log tells of it")


@check("hooks.order", "hooks.prestart-first", "hooks.createContainer-after")
def order_of_hooks(t: Trial) -> None:
    """Takes a container with three hooks of each kind through its life."""
    bundle = t.bundle("exec sleep 600")
    hooks = Hooks(t, bundle)
    for kind in reversed(KINDS):
        for number in (1, 2, 3):
            hooks.add(kind, f"{kind}-{number}")
    container = t.up(bundle)
    container.need("kill", "KILL")
    container.wait()
    t.wait_for("status stopped", lambda: container.status == "stopped")
    container.delete()
    outside = hooks.read("prestart", "order").split()
    inside = hooks.read("startContainer", "order").split()
    for kind in KINDS:
        mine = [name for name in outside + inside if name.startswith(f"{kind}-")]
        good = mine == [f"{kind}-{number}" for number in (1, 2, 3)]
        t.expect("hooks.order", good, f"{kind}: {mine}")
    kinds = list(dict.fromkeys(name.partition("-")[0] for name in outside))
    for sentence, first, second in (
        ("hooks.prestart-first", "prestart", "createRuntime"),
        ("hooks.createContainer-after", "createRuntime", "createContainer"),
    ):
        both = first in kinds and second in kinds
        good = both and kinds.index(first) < kinds.index(second)
        t.expect(sentence, good, f"called: {kinds}")


@check("hooks.args", "hooks.env")
def arguments_and_environment(t: Trial) -> None:
    """Calls a hook with arguments, among them an empty one, and with an environment."""
    bundle = t.bundle()
    seen = t.directory / "seen"
    script = f'{{ for a; do echo "[$a]"; done; echo "[$WORD]"; }} >{seen}'
    entry = {
        "path": "/bin/sh",
        "args": ["sh", "-c", script, "zero", "one two", "", "three"],
        "env": ["WORD=a b=c"],
    }
    bundle.config["hooks"] = {"createRuntime": [entry]}
    t.create(bundle)
    lines = seen.read_text().splitlines() if seen.exists() else []
    t.expect("hooks.args", lines[:-1] == ["[one two]", "[]", "[three]"], f"arguments: {lines[:-1]}")
    t.expect("hooks.env", lines[-1:] == ["[a b=c]"], f"WORD: {lines[-1:]}")


@check("hooks.path-absolute", "hooks.timeout-positive")
def invalid_hooks(t: Trial) -> None:
    """Creates with hooks without a path, with a relative one, with timeouts of 0 and below."""
    for sentence, entry in (
        ("hooks.path-absolute", {"args": ["true"]}),
        ("hooks.path-absolute", {"path": "bin/true"}),
        ("hooks.path-absolute", {"path": "true"}),
        ("hooks.timeout-positive", {"path": "/bin/true", "timeout": 0}),
        ("hooks.timeout-positive", {"path": "/bin/true", "timeout": -1}),
    ):
        bundle = t.bundle()
        bundle.config["hooks"] = {"createRuntime": [entry]}
        t.refuses(sentence, bundle, at="create", what=str(entry))


@check("hooks.timeout")
def timeout_of_a_hook(t: Trial) -> None:
    """Creates with a hook that sleeps for 20 s and has a timeout of 1 s."""
    bundle = t.bundle()
    pid_file = t.directory / "pid"
    script = f"echo $$ >{pid_file}; exec sleep 20"
    bundle.hook("createRuntime", "/bin/sh", "-c", script, timeout=1)
    result = t.attempt_create(bundle, bundle.path.name)
    pid = int(pid_file.read_text()) if pid_file.exists() else 0
    gone = not Path("/proc", str(pid)).exists()
    t.expect("hooks.timeout", gone, "it is not there any more" if gone else "it still sleeps")
    t.expect("hooks.timeout", result.refused, result.text)
    if result.ok:
        t.adopt(bundle.path.name, bundle)


def _register() -> None:
    for kind in KINDS:
        sentences = [f"lifecycle.{kind}-invoked", "hooks.state"]
        sentences += [f"hooks.{kind}-{what}" for what in ("path", "namespace", "when")]
        if kind in AT_CREATE:
            sentences += [f"hooks.{kind}-environment", f"hooks.{kind}-pivot"]
        if kind in IN_CONTAINER:
            sentences.append("state.pid-in-container-hooks")
        elif kind != "poststop":
            sentences.append("state.pid-in-runtime-hooks")
        did = f"Takes a container with a {kind} hook through its life; the hook looks around."
        add(f"hooks.life[{kind}]", sentences, did, partial(life, kind=kind))
        if kind != "poststop":
            sentences = [f"lifecycle.{kind}-fails-{what}" for what in
                         ("error", "destroyed", "poststop")]  # fmt: skip
            did = f"Lets a {kind} hook fail, and looks for what is left and for the poststop hook."
            add(f"hooks.failing[{kind}]", sentences, did, partial(failing, kind=kind))


_register()
