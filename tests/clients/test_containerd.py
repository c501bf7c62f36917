"""containerd's ctr: with Debian's shim and runc, the same with ociruntime, and our own shim."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.engines.containerd import ContainerdWith
from tests.support.engines.host import RESIZED

# Engines give a terminal its size when the program runs already.
# Whoever ends it does not end what it started, so all is read.
LOGGER = """#!/bin/sh
exec >PLACE/said
echo $CONTAINER_NAMESPACE $CONTAINER_ID
while [ $# != 0 ]; do echo "$1 $2"; shift 2; done
{ cat <&3 >PLACE/out; : >PLACE/out.done; } 5>&- &
{ cat <&4 >PLACE/err; : >PLACE/err.done; } 5>&- &
exec 5>&-
wait
"""


def test_streams_and_exit_status(ctr: ContainerdWith) -> None:
    script = "id -u; echo err >&2; head -c5; exit 7"
    ctr.new_id()
    words = ctr.words("--rm", "--", "sh", "-c", script)
    done = ctr.daemon.converse(*words, typed="typed", when=("0\n", "err\n"))
    assert (done.stdout, done.stderr, done.status) == ("0\ntyped", "err\n", 7)


def test_much_output(ctr: ContainerdWith) -> None:
    """More than a pipe holds. containerd's own shim copies for two seconds after the program's end,
    and no longer.
    """
    done = ctr.run("--", "sh", "-c", "seq 60000; seq 30000 >&2").check()
    numbers = "".join(f"{number}\n" for number in range(1, 60001))
    errors = "".join(f"{number}\n" for number in range(1, 30001))
    if ctr.way == "shim":
        assert (done.stdout, done.stderr) == (numbers, errors)
    assert numbers.startswith(done.stdout)
    assert errors.startswith(done.stderr)


def test_what_cannot_be_run(ctr: ContainerdWith) -> None:
    absent = ctr.run("--", "no-such-program")
    assert absent.status == 1
    assert "executable file not found in $PATH" in absent.stderr
    refused = ctr.run("--", "/etc/unreadable")
    assert refused.status == 1
    assert "permission denied" in refused.stderr.lower()
    assert ctr.tasks() == {}


def test_terminal(ctr: ContainerdWith) -> None:
    ctr.new_id()
    words = ctr.words("--rm", "-t", "--", "sh")
    keys = f"tty; {RESIZED}"
    done = ctr.daemon.terminal(*words, keys=keys, leave=5)
    assert done.status == 5, done
    assert "/dev/pts/0" in done.stdout.split()
    assert "40 100 42 " in " ".join(done.stdout.split())


def test_exec(ctr: ContainerdWith) -> None:
    container = ctr.up("--env", "FROM=run", "--", "sleep", "1000")
    words = ("tasks", "exec", "--exec-id", "first", "--cwd", "/tmp", "--user", "1000:5", container)
    script = "id -u; id -g; pwd; echo $FROM; echo err >&2; head -c5; exit 9"
    done = ctr.daemon.converse(*words, "sh", "-c", script, typed="typed", when=("run\n", "err\n"))
    assert (done.stdout, done.stderr) == ("1000\n5\n/tmp\nrun\ntyped", "err\n")
    assert done.status == 9
    absent = ctr("tasks", "exec", "--exec-id", "second", container, "no-such-program")
    assert absent.status == 1
    assert "executable file not found in $PATH" in absent.stderr
    # The id is free again.
    assert ctr("tasks", "exec", "--exec-id", "second", container, "true").check().status == 0


def test_exec_on_a_terminal(ctr: ContainerdWith) -> None:
    container = ctr.up("--", "sleep", "1000")
    words = ("tasks", "exec", "-t", "--exec-id", "shell", container, "sh")
    done = ctr.daemon.terminal(*words, keys=f"tty; {RESIZED}", leave=5)
    assert done.status == 5, done
    assert "/dev/pts/" in done.stdout
    assert "40 100 42 " in " ".join(done.stdout.split())


def test_pause_processes_and_metrics(ctr: ContainerdWith) -> None:
    container = ctr.up("--memory-limit", "50000000", "--", "sh", "-c", "sleep 1000 & wait")
    listed = ctr("tasks", "ps", container).check().stdout.splitlines()[1:]
    pids = {int(line.split()[0]) for line in listed}
    assert len(pids) == 2
    assert ctr.tasks()[container][0] in pids
    ctr("tasks", "pause", container).check()
    assert ctr.tasks()[container][1] == "PAUSED"
    # What is asked of a paused container is answered.
    metrics = ctr("tasks", "metrics", container).check().stdout
    ctr("tasks", "resume", container).check()
    assert ctr.tasks()[container][1] == "RUNNING"
    values = dict(line.split()[:2] for line in metrics.splitlines() if len(line.split()) == 2)
    assert int(values["memory.limit_in_bytes"]) == 50000000 // 4096 * 4096
    assert 0 < int(values["memory.usage_in_bytes"]) < 50000000
    assert int(values["pids.current"]) == 2
    assert int(values["cpuacct.usage"]) > 0


def test_kill(ctr: ContainerdWith) -> None:
    script = "trap 'exit 42' TERM; touch /ready; while :; do sleep 0.05; done"
    container = ctr.up("--", "sh", "-c", script)
    ready = "until [ -e /ready ]; do sleep 0.05; done"
    ctr("tasks", "exec", "--exec-id", "e", container, "sh", "-c", ready).check()
    ctr("tasks", "kill", container).check()
    ctr.wait_for(container, "STOPPED")
    gone = ctr("tasks", "kill", container)
    assert gone.status == 1
    assert "not found" in gone.stderr or "already finished" in gone.stderr
    done = ctr("tasks", "delete", container)
    assert "exit with non-zero exit code 42" in done.stderr
    ctr("containers", "delete", container).check()


def test_kill_all(ctr: ContainerdWith) -> None:
    """`--all` reaches what is not a child of the first process."""
    container = ctr.up("--", "sh", "-c", "setsid sleep 4321 & sleep 4321")
    ctr.host.wait_until(lambda: len(ctr.processes("^sleep 4321")) == 2, "two", ctr.daemon.log)
    ctr("tasks", "kill", "--all", "--signal", "KILL", container).check()
    ctr.wait_for(container, "STOPPED")
    assert ctr.processes("^sleep 4321") == []


def test_restart_of_a_task(ctr: ContainerdWith) -> None:
    """A container outlives its task, and starts again."""
    container = ctr.up("--", "sh", "-c", "echo >>/count; sleep 1000")
    ctr("tasks", "kill", "--signal", "KILL", container).check()
    ctr.wait_for(container, "STOPPED")
    ctr("tasks", "delete", container)
    ctr.wait_for(container, "gone")
    ctr("tasks", "start", "--detach", container).check()
    ctr("tasks", "exec", "--exec-id", "e", container, "sh", "-c",
        "while [ $(wc -l </count) != 2 ]; do sleep 0.05; done").check()  # fmt: skip


def test_options(ctr: ContainerdWith) -> None:
    ctr.host.shell("mkdir -p /run/shared; echo shared >/run/shared/file")
    mount = "type=bind,src=/run/shared,dst=/given,options=rbind:ro"
    script = """cat /given/file; touch /given/x 2>/dev/null || echo refused
        touch /x 2>/dev/null || echo read-only; echo $A; pwd
        grep -E '^(CapEff|Seccomp|NoNewPrivs):' /proc/self/status; ls /proc/self/ns | wc -l"""
    words = ("--mount", mount, "--read-only", "--env", "A=b", "--cwd", "/tmp", "--seccomp",
             "--cap-add", "CAP_SYS_ADMIN", "--", "sh", "-c", script)  # fmt: skip
    lines = ctr.run(*words).check().stdout.split("\n")
    assert lines[:5] == ["shared", "refused", "read-only", "b", "/tmp"]
    status = dict(line.split() for line in lines[5:8])
    assert status["Seccomp:"] == "2"
    assert status["NoNewPrivs:"] == "1"
    assert int(status["CapEff:"], 16) & 1 << 21


def test_user_namespace(ctr: ContainerdWith) -> None:
    words = ("--uidmap", "0:100000:65536", "--gidmap", "0:100000:65536", "--remap-labels")
    container = ctr.up(*words, "--", "sleep", "1000")
    pid = ctr.tasks()[container][0]
    assert ctr.host.shell(f"stat -c %u:%g /proc/{pid}").strip() == "100000:100000"
    # By its status: ctr may end before it has printed what a short program wrote.
    search = ("grep", "-q", "^ *0  *100000  *65536$", "/proc/self/uid_map")
    ctr("tasks", "exec", "--exec-id", "e", container, *search).check()


def test_another_network_namespace(ctr: ContainerdWith) -> None:
    name = f"ns-{ctr.way}"
    ctr.host.shell(f"ip netns add {name}; ip -n {name} link add seen type veth peer other")
    done = ctr.run("--with-ns", f"network:/run/netns/{name}", "--", "ls", "/sys/class/net")
    ctr.host.shell(f"ip netns delete {name}")
    assert "seen" in done.check().stdout.split()


def test_output_goes_to_a_logging_process(ctr: ContainerdWith) -> None:
    """`binary://`: it is told whose output it gets, on 3 and 4, and says on 5 that it is there."""
    place = f"/run/logged-{ctr.way}"
    ctr.host.shell(f"mkdir {place}")
    ctr.host.run("tee", f"{place}/logger", stdin=LOGGER.replace("PLACE", place)).check()
    ctr.host.shell(f"chmod +x {place}/logger")
    ctr.new_id()
    uri = f"binary://{place}/logger?label=two%20words&b=c"
    ctr(*ctr.words("--detach", "--log-uri", uri, "--", "sh", "-c", "seq 20000; echo e >&2")).check()
    ctr.wait_for(ctr.ids[-1], "STOPPED")
    # containerd's own shim keeps the pipes open until then.
    ctr("tasks", "delete", ctr.ids[-1]).check()
    seen = lambda: ctr.host.shell(f"ls {place}").count(".done") == 2  # noqa: E731
    ctr.host.wait_until(seen, "both logs", ctr.daemon.log)
    assert ctr.host.shell(f"sort {place}/said") == f"b c\ndefault {ctr.ids[-1]}\nlabel two words\n"
    assert ctr.host.shell(f"cat {place}/out") == "".join(f"{i}\n" for i in range(1, 20001))
    assert ctr.host.shell(f"cat {place}/err") == "e\n"


def test_a_logging_process_that_cannot_be_started(ctr: ContainerdWith) -> None:
    ctr.new_id()
    done = ctr(*ctr.words("--detach", "--log-uri", "binary:///no/such/logger", "--", "true"))
    assert done.status == 1
    assert "/no/such/logger" in done.stderr
    assert "no such file or directory" in done.stderr.lower()
    assert ctr.tasks() == {}


def test_events(ctr: ContainerdWith) -> None:
    log = ctr.daemon.directory / f"events-{ctr.way}"
    ctr.host.start("ctr", "--address", "/run/containerd.sock", "events", log=log)
    ctr.host.wait_until(lambda: ctr.run("--", "true").status == 0 and b"/tasks/" in
                        log.read_bytes(), "an event", ctr.daemon.log)  # fmt: skip
    container = ctr.up("--", "sh", "-c", "sleep 1000 & wait")
    ctr("tasks", "exec", "--exec-id", "e", container, "sh", "-c", "exit 3")
    ctr("tasks", "pause", container).check()
    ctr("tasks", "resume", container).check()
    ctr("tasks", "kill", "--signal", "KILL", container).check()
    ctr.wait_for(container, "STOPPED")
    ctr("tasks", "delete", container)
    topics = [
        "/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/paused", "/tasks/resumed",
        "/tasks/exit", "/tasks/delete",
    ]  # fmt: skip
    # containerd's own shim ends without waiting for its last event to be sent.
    last = "/tasks/delete" if ctr.way == "shim" else "/tasks/exit"
    ctr.host.wait_until(
        lambda: [topic for topic, event in events(log, container)
                 if event.get("id", container) == container][-1:] in ([last], topics[-1:]),
        "the last event", log,
    )  # fmt: skip
    seen = events(log, container)
    assert [topic for topic, _ in seen if not topic.startswith("/tasks/exec")] in (
        [topics] if ctr.way == "shim" else [topics, topics[:-1]]
    )
    assert [topic for topic, _ in seen if topic.startswith("/tasks/exec")] == [
        "/tasks/exec-added", "/tasks/exec-started",
    ]  # fmt: skip
    exits = [event for topic, event in seen if topic == "/tasks/exit"]
    assert [(event["id"], event.get("exit_status")) for event in exits] == [
        ("e", 3), (container, 137),
    ]  # fmt: skip
    # A time in words until containerd 1.7, from 2.0 on seconds and nanoseconds.
    assert all(str(event["exited_at"])[:2] in ("20", "{'") for event in exits)


def events(log: Path, container: str) -> list[tuple[str, dict[str, str | int]]]:
    """Topics and contents of one container's task events, as `ctr events` prints them."""
    found = []
    for line in log.read_text().splitlines():
        head, _, text = line.partition("{")
        words = head.split()
        if words and words[-1].startswith("/tasks/"):
            event = json.loads("{" + text)
            if event.get("container_id") == container:
                found.append((words[-1], event))
    return found
