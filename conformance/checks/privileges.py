"""config.md: capabilities, scheduling, I/O priority and CPU affinity of the process."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from functools import partial

from conformance.attributes import RESET_ON_FORK, Scheduling, io_priority, scheduling
from conformance.bundle import Bundle
from conformance.container import UnfitError
from conformance.registry import add, check
from conformance.trial import Trial

NUMBERS = {
    "CAP_CHOWN": 0, "CAP_DAC_OVERRIDE": 1, "CAP_FOWNER": 3, "CAP_FSETID": 4, "CAP_KILL": 5,
    "CAP_SETGID": 6, "CAP_SETUID": 7, "CAP_SETPCAP": 8, "CAP_NET_BIND_SERVICE": 10,
    "CAP_NET_RAW": 13, "CAP_SYS_CHROOT": 18, "CAP_MKNOD": 27, "CAP_AUDIT_WRITE": 29,
}  # fmt: skip
FIELDS = {
    "effective": "CapEff", "bounding": "CapBnd", "inheritable": "CapInh", "permitted": "CapPrm",
    "ambient": "CapAmb",
}  # fmt: skip


def mask(names: Iterable[str]) -> int:
    """Return the bits of capabilities."""
    return sum(1 << NUMBERS[name] for name in set(names))


def judge_sets(t: Trial, bundle: Bundle, sets: dict[str, list[str]], what: str) -> None:
    """Start a container with these sets and judge each."""
    bundle.process["capabilities"] = sets
    container = t.up(bundle)
    for name, field in FIELDS.items():
        seen = int(container.proc_status(field), 16)
        wanted = mask(sets.get(name, []))
        saw = f"{what}: {field} {seen:x}" + ("" if seen == wanted else f", configured {wanted:x}")
        t.expect(f"capabilities.{name}", seen == wanted, saw)


@check(*(f"capabilities.{name}" for name in FIELDS))
def capability_sets(t: Trial) -> None:
    """Runs as root with five different sets, as another user with them, and with none at all."""
    sets = {
        "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_MKNOD"],
        "permitted": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE"],
        "effective": ["CAP_CHOWN", "CAP_KILL"],
        "inheritable": ["CAP_KILL", "CAP_NET_BIND_SERVICE"],
        "ambient": ["CAP_NET_BIND_SERVICE"],
    }
    # The program is executed after the sets are made: execve(2) computes permitted and effective
    # anew, so only sets that it leaves alone can be asked for. As root it gives all of bounding.
    needed = mask(sets["bounding"])
    t.need(t.host.bounding & needed == needed, f"the caller lacks some of {sets['bounding']}")
    full = {**sets, "permitted": sets["bounding"], "effective": sets["bounding"]}
    full = {**full, "inheritable": ["CAP_KILL"], "ambient": []}
    judge_sets(t, t.bundle(), full, "root")
    user = t.bundle()
    user.process["user"] = {"uid": 1000, "gid": 1000}
    ambient = ["CAP_KILL", "CAP_NET_BIND_SERVICE"]
    judge_sets(
        t,
        user,
        {**sets, "permitted": ambient, "effective": ambient, "inheritable": ambient,
         "ambient": ambient},
        "user with ambient",
    )  # fmt: skip
    judge_sets(t, t.bundle(), {}, "root with none")


@check("capabilities.ungrantable", "capabilities.warning")
def capability_that_cannot_be_granted(t: Trial) -> None:
    """Asks for a capability that the caller lacks: a warning names it, and the program runs."""
    lacking = "CAP_SYS_RESOURCE"
    bundle = t.bundle("echo ran")
    bundle.add_capabilities(lacking)
    if t.host.bounding >> 24 & 1:
        t.need(t.host.program("setpriv"), "setpriv, to take a capability away, is not installed")
        t.runtime.wrapper = ("setpriv", "--bounding-set=-sys_resource")
    name = bundle.path.name
    log = t.directory / "log"
    result = t.runtime.call(
        "--debug", "--log", str(log), "create", "--bundle", str(bundle.write().path), name,
        stdin=str(t.null), stdout=bundle.output,
    )  # fmt: skip
    t.expect("capabilities.ungrantable", result.ok, f"create: {result.text}" if not result.ok
             else "created without it")  # fmt: skip
    if not result.ok:
        t.expect("capabilities.warning", None, f"an error instead: {result.text}")
        return
    container = t.adopt(name, bundle).hold()
    start = container.attempt("start")
    words = start.text if not start.ok else "it runs"
    t.expect("capabilities.ungrantable", start.ok, f"start: {words}")
    said = result.stderr + start.stderr + (log.read_text() if log.exists() else "")
    named = "SYS_RESOURCE" in said.upper()
    t.expect("capabilities.warning", named, "named in the log" if named else "no log names it")


def schedule(t: Trial, sentence: str, config: dict[str, object], wanted: Scheduling) -> None:
    """Start a container with a scheduler, and judge its attributes."""
    bundle = t.bundle()
    bundle.add_capabilities("CAP_SYS_NICE")
    bundle.process["scheduler"] = config
    name = bundle.path.name
    result = t.attempt_create(bundle, name)
    if result.ok:
        container = t.adopt(name, bundle).hold()
        result = container.attempt("start")
    if not result.ok:
        if config["policy"] == "SCHED_DEADLINE":
            need_deadline(t, config)
        if config["policy"] in {"SCHED_FIFO", "SCHED_RR"} and no_realtime(t):
            t.skip("the cgroup of this host gives no time to real-time processes")
        t.expect(sentence, None, f"{t.verb(result)}: {result.text}")
        return
    t.wait_for("the program", container.executed)
    seen = scheduling(container.pid)
    if config["policy"] not in {"SCHED_OTHER", "SCHED_BATCH"}:
        wanted = Scheduling(**{**wanted.__dict__, "nice": seen.nice})
    wanted = Scheduling(**{**wanted.__dict__, "runtime": wanted.runtime or seen.runtime})
    t.expect(sentence, seen == wanted, f"{json.dumps(config)}: {seen}")


def need_deadline(t: Trial, config: dict[str, object]) -> None:
    """Skip the test if a program of the host cannot run so, either."""
    times = [f"--sched-{name}={config[name]}" for name in ("runtime", "deadline", "period")]
    try:
        t.host_command("chrt", "--deadline", *times, "0", "true")
    except UnfitError as error:
        t.skip(f"{error}")


def no_realtime(t: Trial) -> bool:
    """Tell whether new cgroups have no time for real-time processes (v1, RT_GROUP_SCHED)."""
    controller = t.host.controller("cpu")
    return bool(controller and (controller / "cpu.rt_runtime_us").exists())


@check("scheduler.nice", "scheduler.priority", "scheduler.flags")
def scheduler_properties(t: Trial) -> None:
    """Sets nice, leaves it out, leaves priority out, and sets a flag."""
    plain = Scheduling("SCHED_OTHER", 0, 7, 0, 0, 0, 0)
    schedule(t, "scheduler.nice", {"policy": "SCHED_OTHER", "nice": 7}, plain)
    t.runtime.wrapper = ("nice", "-n", "5")
    plain = Scheduling("SCHED_OTHER", 0, 0, 0, 0, 0, 0)
    schedule(t, "scheduler.nice", {"policy": "SCHED_OTHER"}, plain)
    schedule(t, "scheduler.priority", {"policy": "SCHED_BATCH"},
             Scheduling("SCHED_BATCH", 0, 0, 0, 0, 0, 0))  # fmt: skip
    config: dict[str, object] = {"policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_RESET_ON_FORK"]}
    flagged = Scheduling("SCHED_OTHER", RESET_ON_FORK, 0, 0, 0, 0, 0)
    schedule(t, "scheduler.flags", config, flagged)


@check("scheduler.invalid")
def invalid_schedulers(t: Trial) -> None:
    """Names a policy and a flag that do not exist."""
    for config in (
        {"policy": "SCHED_NOSUCH"},
        {"policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_NOSUCH"]},
    ):
        bundle = t.bundle()
        bundle.process["scheduler"] = config
        t.refuses("scheduler.invalid", bundle, what=str(config))


@check("io-priority.class", "io-priority.priority")
def io_priorities(t: Trial) -> None:
    """Sets each class with a level."""
    for name, level in (("IOPRIO_CLASS_BE", 6), ("IOPRIO_CLASS_RT", 2), ("IOPRIO_CLASS_IDLE", 0)):
        bundle = t.bundle()
        bundle.process["ioPriority"] = {"class": name, "priority": level}
        kind, seen = io_priority(t.up(bundle).pid)
        t.expect("io-priority.class", kind == name, f"{name}: {kind}")
        t.expect("io-priority.priority", seen == level, f"{name} {level}: {seen}")


@check("io-priority.invalid")
def invalid_io_priorities(t: Trial) -> None:
    """Names a class that does not exist, levels of 8 and -1, and no level."""
    for config in (
        {"class": "IOPRIO_CLASS_NOSUCH", "priority": 0},
        {"class": "IOPRIO_CLASS_BE", "priority": 8},
        {"class": "IOPRIO_CLASS_BE", "priority": -1},
    ):
        bundle = t.bundle()
        bundle.process["ioPriority"] = config
        t.refuses("io-priority.invalid", bundle, what=str(config))


@check("affinity.final", "affinity.final-unset", "affinity.not-init")
def cpu_affinity(t: Trial) -> None:
    """Executes processes with and without a final affinity, beside the first process."""
    cpus = sorted(os.sched_getaffinity(0))
    t.need(len(cpus) > 1, "there is only one CPU")
    for sentence, affinity, wanted in (
        ("affinity.final", {"final": str(cpus[1])}, [cpus[1]]),
        ("affinity.final-unset", {}, cpus),
    ):
        bundle = t.bundle()
        bundle.process["execCPUAffinity"] = affinity
        container = t.up(bundle)
        seen = sorted(os.sched_getaffinity(container.pid))
        whole = set(cpus) <= set(seen)
        t.expect("affinity.not-init", whole, f"{affinity}: the first process: CPUs {seen}")
        process = {**bundle.process, "args": ["/bin/sleep", "600"]}
        path, pid_file = t.directory / "process.json", t.directory / "pid"
        path.write_text(json.dumps(process))
        result = t.runtime.call(
            "exec", "--process", str(path), "--detach", "--pid-file", str(pid_file), container.id,
            stdin=str(t.null),
        )  # fmt: skip
        if not result.ok:
            t.expect(sentence, None, f"exec: {result.text}")
            continue
        seen = sorted(os.sched_getaffinity(int(pid_file.read_text())))
        good = seen == wanted if affinity else set(wanted) <= set(seen)
        t.expect(sentence, good, f"{affinity}: CPUs {seen}")


def _register() -> None:
    policies: dict[str, tuple[dict[str, object], Scheduling]] = {
        "other": ({"policy": "SCHED_OTHER"}, Scheduling("SCHED_OTHER", 0, 0, 0, 0, 0, 0)),
        "batch": ({"policy": "SCHED_BATCH"}, Scheduling("SCHED_BATCH", 0, 0, 0, 0, 0, 0)),
        "idle": ({"policy": "SCHED_IDLE"}, Scheduling("SCHED_IDLE", 0, 0, 0, 0, 0, 0)),
        "fifo": (
            {"policy": "SCHED_FIFO", "priority": 3}, Scheduling("SCHED_FIFO", 0, 0, 3, 0, 0, 0),
        ),
        "rr": ({"policy": "SCHED_RR", "priority": 4}, Scheduling("SCHED_RR", 0, 0, 4, 0, 0, 0)),
        "deadline": (
            {"policy": "SCHED_DEADLINE", "runtime": 1_000_000, "deadline": 20_000_000,
             "period": 40_000_000},
            Scheduling("SCHED_DEADLINE", 0, 0, 0, 1_000_000, 20_000_000, 40_000_000),
        ),
    }  # fmt: skip
    for name, (config, wanted) in policies.items():
        sentence = f"scheduler.{name}"
        did = f"Runs with the policy {config['policy']} and reads it back by sched_getattr(2)."
        function = partial(schedule, sentence=sentence, config=config, wanted=wanted)
        add(f"privileges.scheduler[{name}]", [sentence], did, function)


_register()
