"""config-linux.md#intelrdt: classes of service and monitoring groups in resctrl."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

from conformance.bundle import Bundle
from conformance.container import Container
from conformance.registry import check
from conformance.resctrl import Resctrl, parse, turn
from conformance.trial import Trial


def resctrl(t: Trial) -> Resctrl:
    """Return the mounted resctrl, this test's alone until it ends; skips the test without one."""
    root = t.host.resctrl
    t.need(root, "no resctrl is mounted (/proc/self/mounts)")
    begin = time.monotonic()
    turn.acquire()
    t.closers.append(turn.release)
    t.deadline = t.runtime.deadline = t.deadline + time.monotonic() - begin
    return Resctrl(Path(f"{root}"))


def configured(t: Trial, rdt: dict[str, Any]) -> Bundle:
    """Return a bundle with this intelRdt."""
    bundle = t.bundle()
    bundle.linux["intelRdt"] = rdt
    return bundle


def one_class(t: Trial, control: Resctrl, *, make: bool = False, line: str = "") -> Path:
    """Return a class that goes with the test; with `make` it is there, with this in schemata."""
    group = control.root / f"{t.new_id()}-class"
    t.closers.append(partial(control.remove, group))
    if make:
        try:
            control.make(group)
        except OSError as error:
            t.skip(f"resctrl has no class left: {error.strerror}")
        if line:
            control.write(group, line)
    return group


def schemas(t: Trial, control: Resctrl, resource: str) -> tuple[str, str]:
    """Return two lines of schemata for a resource; skips the test where it takes no two."""
    lines = control.lines(resource, control.root / f"{t.prefix}-probe")
    t.need(len(lines) == 2, f"resctrl takes no two values of {resource} (tried in a class)")
    return lines[0], lines[1]


def has(control: Resctrl, group: Path, *lines: str) -> bool:
    """Tell whether each of the lines is in the schemata of a group."""
    seen = control.schemata(group)
    return all(parse(line).items() <= seen.items() for line in lines)


def expect_task(
    t: Trial, sentence: str, control: Resctrl, container: Container, group: Path
) -> None:
    """Judge that the container's process is in the tasks file of a group."""
    there = container.pid in control.tasks(group)
    words = "in" if there else "not in"
    t.expect(sentence, there, f"the process is {words} {group.relative_to(control.root)}/tasks")


def end(container: Container) -> None:
    """Stop a container and delete it."""
    container.need("kill", "KILL")
    container.wait()
    container.trial.wait_for("status stopped", lambda: container.status == "stopped")
    container.need("delete")
    container.deleted = True


@check("rdt.no-resctrl")
def without_resctrl(t: Trial) -> None:
    """Asks for a class of service where no resctrl is mounted."""
    t.need(t.host.resctrl is None, "resctrl is mounted")
    for entry in ({"closID": "some"}, {"l3CacheSchema": "L3:0=f"}, {"enableMonitoring": True}):
        t.refuses("rdt.no-resctrl", configured(t, entry), at="create", what=str(entry))


@check("rdt.untouched")
def untouched(t: Trial) -> None:
    """Runs without intelRdt where resctrl is mounted: no group appears, no schemata change."""
    control = resctrl(t)
    before, schemata = control.groups(), control.schemata(control.root)
    t.up()
    made = sorted(control.groups() - before)
    t.expect("rdt.untouched", not made, f"made: {made}")
    same = control.schemata(control.root) == schemata
    t.expect("rdt.untouched", same, f"the root's schemata are the same: {same}")


@check("rdt.tasks", "rdt.clos-preconfigured", "rdt.no-write", "rdt.kept")
def class_that_is_there(t: Trial) -> None:
    """Names a class that is there, without a schema, and then one that is not."""
    control = resctrl(t)
    line, _ = schemas(t, control, "L3")
    group = one_class(t, control, make=True, line=line)
    before = control.schemata(group)
    container = t.up(configured(t, {"closID": group.name}))
    for sentence in ("rdt.tasks", "rdt.clos-preconfigured"):
        expect_task(t, sentence, control, container, group)
    same = control.schemata(group) == before
    t.expect("rdt.no-write", same, f"the schemata are as they were: {same}")
    end(container)
    t.expect("rdt.kept", group.is_dir(), f"after delete the class is there: {group.is_dir()}")
    absent = one_class(t, control)
    t.refuses("rdt.clos-preconfigured", configured(t, {"closID": absent.name}), what="no class")
    made = absent.exists()
    t.expect("rdt.clos-preconfigured", not made, f"the class was made: {made}")


@check("rdt.root-clos")
def root_class(t: Trial) -> None:
    """Names the class /, from a process that is in another."""
    control = resctrl(t)
    group = one_class(t, control, make=True)
    join = f'echo $$ >"{group}/tasks" && exec "$@"'
    t.runtime.wrapper = ("sh", "-c", join, "sh")
    before = control.groups()
    container = t.up(configured(t, {"closID": "/"}))
    expect_task(t, "rdt.root-clos", control, container, control.root)
    made = sorted(control.groups() - before)
    t.expect("rdt.root-clos", not made, f"made: {made}")


@check("rdt.write-one", "rdt.clos-created", "rdt.kept", "rdt.tasks")
def class_with_one_schema(t: Trial) -> None:
    """Names classes that are not there, with l3CacheSchema alone, and with memBwSchema alone."""
    control = resctrl(t)
    judged = False
    for key, resource in (("l3CacheSchema", "L3"), ("memBwSchema", "MB")):
        lines = control.lines(resource, control.root / f"{t.prefix}-probe")
        if not lines:
            continue
        judged = True
        group = one_class(t, control)
        container = t.up(configured(t, {"closID": group.name, key: lines[0]}))
        made = group.is_dir()
        t.expect("rdt.clos-created", made, f"{key}: the class was made: {made}")
        written = has(control, group, lines[0])
        t.expect("rdt.write-one", written, f"{lines[0]}: {control.schemata(group)}")
        expect_task(t, "rdt.tasks", control, container, group)
        end(container)
        t.expect("rdt.kept", group.is_dir(), f"{key}: after delete it is there: {group.is_dir()}")
        control.remove(group)
    t.need(judged, "resctrl takes no value of L3 or MB (tried in a class)")


@check("rdt.write-both", "rdt.write-schemata")
def class_with_several_schemas(t: Trial) -> None:
    """Gives l3CacheSchema with memBwSchema, then with schemata that say another thing."""
    control = resctrl(t)
    first, last = schemas(t, control, "L3")
    group = one_class(t, control)
    t.create(
        configured(t, {"closID": group.name, "l3CacheSchema": first, "schemata": [last]})
    ).delete("--force")
    written = has(control, group, last)
    saw = f"{first}, then {last}: {control.schemata(group)}"
    t.expect("rdt.write-schemata", written, saw)
    control.remove(group)
    bandwidth, _ = schemas(t, control, "MB")
    group = one_class(t, control)
    rdt = {"closID": group.name, "l3CacheSchema": first, "memBwSchema": bandwidth}
    t.create(configured(t, rdt)).delete("--force")
    written = has(control, group, first, bandwidth)
    t.expect("rdt.write-both", written, f"{first} and {bandwidth}: {control.schemata(group)}")
    control.remove(group)
    group = one_class(t, control)
    t.create(configured(t, {"closID": group.name, "schemata": [first, bandwidth]}))
    written = has(control, group, first, bandwidth)
    t.expect("rdt.write-schemata", written, f"two lines: {control.schemata(group)}")


@check("rdt.no-clos-id", "rdt.removed", "rdt.no-write")
def class_of_the_container(t: Trial) -> None:
    """Uses intelRdt without closID, empty and with a schema: the id names the class."""
    control = resctrl(t)
    line, _ = schemas(t, control, "L3")
    probe = one_class(t, control, make=True)
    fresh = control.schemata(probe)
    control.remove(probe)
    for rdt in ({}, {"l3CacheSchema": line}):
        container = t.up(configured(t, rdt))
        group = control.root / container.id
        expect_task(t, "rdt.no-clos-id", control, container, group)
        if rdt:
            written = has(control, group, line)
            t.expect("rdt.no-clos-id", written, f"{line}: {control.schemata(group)}")
        else:
            same = control.schemata(group) == fresh
            t.expect("rdt.no-write", same, f"the schemata are those of any new class: {same}")
        end(container)
        gone = not group.exists()
        t.expect("rdt.removed", gone, f"after delete it is gone: {gone}")


@check("rdt.clos-compared")
def class_with_another_schema(t: Trial) -> None:
    """Names a class that is there, with a schema that it has, and with one that it has not."""
    control = resctrl(t)
    same, other = schemas(t, control, "L3")
    group = one_class(t, control, make=True, line=same)
    before = control.schemata(group)
    what = f"{other}, the class has {same}"
    t.refuses(
        "rdt.clos-compared",
        configured(t, {"closID": group.name, "l3CacheSchema": other}),
        at="create",
        what=what,
    )
    kept = control.schemata(group) == before
    t.expect("rdt.clos-compared", kept, f"the class is as it was: {kept}")
    container = t.create(configured(t, {"closID": group.name, "l3CacheSchema": same}))
    expect_task(t, "rdt.clos-compared", control, container, group)


@check("rdt.mem-bw-schema", "rdt.schemata-newline")
def invalid_schemas(t: Trial) -> None:
    """Gives a memBwSchema that is none, and line feeds within values."""
    control = resctrl(t)
    line, other = schemas(t, control, "L3")
    for sentence, rdt in (
        ("rdt.mem-bw-schema", {"memBwSchema": line}),
        ("rdt.mem-bw-schema", {"memBwSchema": f"MB:0=100\n{line}"}),
        ("rdt.schemata-newline", {"schemata": [f"{line}\n{other}"]}),
    ):
        t.refuses(sentence, configured(t, rdt), at="create", what=str(rdt))


@check("rdt.monitoring", "rdt.monitoring-fails")
def monitoring(t: Trial) -> None:
    """Has containers monitored, in classes of their own, in a named one and where none can be."""
    control = resctrl(t)
    if not control.monitors:
        what = "no monitoring in this resctrl (info/L3_MON)"
        rdt = {"closID": "/", "enableMonitoring": True}
        t.refuses("rdt.monitoring-fails", configured(t, rdt), at="create", what=what)
        t.skip(what)
    named = one_class(t, control, make=True)
    for name in ("", named.name, "/"):
        rdt = {"enableMonitoring": True, **({"closID": name} if name else {})}
        container = t.up(configured(t, rdt))
        above = control.root if name == "/" else control.root / (name or container.id)
        group = above / "mon_groups" / container.id
        expect_task(t, "rdt.monitoring", control, container, group)
        end(container)
        gone = not group.exists()
        t.expect("rdt.monitoring", gone, f"closID {name or 'unset'}: gone after delete: {gone}")
    with control.no_monitors_left(t.prefix) as none:
        if none:
            rdt = {"closID": "/", "enableMonitoring": True}
            what = "nothing is left to monitor with"
            t.refuses("rdt.monitoring-fails", configured(t, rdt), at="create", what=what)
    t.need(none, "the processor can monitor more than 4096 groups: none is missing")
