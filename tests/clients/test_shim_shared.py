"""One daemon of our shim for all containers of a namespace (docs/shim.md): what differs from one
for each is who they share a process with.
"""

from __future__ import annotations

import threading
from pathlib import Path

from ociruntime.shim.shared import ANNOTATION
from tests.clients.conftest import NODE_OPTIONS
from tests.clients.test_containerd import events
from tests.support.engines import shared
from tests.support.engines.containerd import IMAGE, ContainerdWith
from tests.support.engines.host import Done

SHARED = ("--runtime-config-path", NODE_OPTIONS)
ALONE = (*SHARED, "--annotation", f"{ANNOTATION}=pod")


def sockets(node: ContainerdWith) -> list[str]:
    return node.host.run("ls", "/run/containerd/s").stdout.split()


def test_one_process_for_all(node: ContainerdWith) -> None:
    first, second = (node.up(*SHARED, "--", "sleep", "1000") for _ in range(2))
    (pid,) = node.shims()
    assert len(sockets(node)) == 1
    script = f"""for pid in $(cat /proc/{pid}/task/{pid}/children); do
        read -r name <$pid/comm; echo $pid $name
    done"""
    children = dict(line.split() for line in node.host.shell(f"cd /proc; {script}").splitlines())
    copies = [child for child, name in children.items() if name == "ociruntime-copy"]
    assert len(copies) == 1
    assert set(children) - {*copies} == {str(node.tasks()[name][0]) for name in (first, second)}
    words = (*SHARED, "--", "sh", "-c", "cat /proc/self/comm; echo err >&2; exit 7")
    done = node.run(*words)
    assert (done.status, done.stdout, done.stderr) == (7, "cat\n", "err\n")
    done = node("tasks", "exec", "--exec-id", "e", second, "sh", "-c", "echo here; exit 3")
    assert (done.status, done.stdout) == (3, "here\n")
    node("tasks", "delete", "--force", first).check()
    assert list(node.shims()) == [pid]
    assert node.tasks()[second][1] == "RUNNING"
    # The fixture waits for the end of the daemon with its last container.


def test_a_pod_that_asks_has_its_own(node: ContainerdWith) -> None:
    node.up(*SHARED, "--", "sleep", "1000")
    node.up(*ALONE, "--", "sleep", "1000")
    node.up("--", "sleep", "1000")
    assert len(node.shims()) == len(sockets(node)) == 3
    node.new_id()
    wrong = ("--annotation", f"{ANNOTATION}=cluster", "--", "true")
    done = node(*node.words(*SHARED, *wrong))
    assert done.status == 1
    assert f'annotation {ANNOTATION} = "cluster": use "pod" or "namespace"' in done.stderr


def test_starts_and_ends_at_once(node: ContainerdWith) -> None:
    """The daemon that one `start` has found ends with somebody else's container: it is kept, or
    there is another.
    """
    wrong: list[str] = []
    most: list[int] = []

    def run(number: int) -> None:
        for turn in range(3):
            name = f"shared-{number}-{turn}"
            words = ["run", "--rm", "--runtime", "io.containerd.ociruntime.v1", *SHARED, "--cgroup",
                     f"{node.host.cgroup_parent}/{name}", IMAGE, name,
                     "sh", "-c", f"echo {name}; exit {number}"]  # fmt: skip
            done = node(*words)
            if (done.status, done.stdout) != (number, f"{name}\n"):
                wrong.append(str(done))
            most.append(len(sockets(node)))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong[0]
    assert max(most) <= 1


def test_limits_of_open_files_are_those_of_a_daemon_of_its_own(node: ContainerdWith) -> None:
    """The daemon may have more open files than programs are ready for."""
    script = "ulimit -Sn; ulimit -Hn"
    seen = set()
    for options in (SHARED, ALONE):
        container = node.up(*options, "--", "sleep", "1000")
        words = ("tasks", "exec", "--exec-id", "e", container, "sh", "-c", script)
        pid = node.tasks()[container][0]
        limits = node.host.shell(f"grep 'open files' /proc/{pid}/limits")
        seen.add((node(*words).check().stdout, limits))
    assert len(seen) == 1


def test_delete_beside_a_living_daemon(node: ContainerdWith) -> None:
    """containerd may have lost patience with one container alone: nothing of it stays in the
    daemon, and the others do not notice.
    """
    given_up, stays = (node.up(*SHARED, "--", "sleep", "1000") for _ in range(2))
    (pid,) = node.shims()
    place = "/run/containerd/io.containerd.runtime.v2.task/default"
    shim = "containerd-shim-ociruntime-v1 -namespace default -address /run/containerd.sock"
    node.host.shell(f"cd {place}/{given_up}; {shim} -id {given_up} delete | od -c")
    node.wait_for(given_up, "STOPPED" if given_up in node.tasks() else "gone")
    assert not node.cgroups(given_up)
    assert node.tasks()[stays][1] == "RUNNING"
    node("tasks", "delete", "--force", given_up)
    node("tasks", "delete", "--force", stays).check()
    node.host.wait_until(lambda: not node.shims(), f"the end of {pid}", node.daemon.log)


def keeper_and_daemon(node: ContainerdWith) -> tuple[int, int]:
    """The only keeper, and its daemon, once there are these two and no other."""
    found: list[int] = []

    def there() -> bool:
        found[:] = look(node)
        return all(found)

    node.host.wait_until(there, "a keeper with its daemon", node.daemon.log)
    return found[0], found[1]


def look(node: ContainerdWith) -> tuple[int, int]:
    """0 for what is not there, or not alone."""
    return shared.keeper_and_daemon(node.host)


def wait_for_successor(node: ContainerdWith, dead: int) -> None:
    node.host.wait_until(lambda: look(node)[1] not in (0, dead), "a successor", node.daemon.log)


def test_death_of_the_daemon(node: ContainerdWith) -> None:
    """Nothing that containers could notice, or clients who wait for them."""
    stays = node.up(*SHARED, "--", "sleep", "1000")
    node.new_id()
    script = "until test -e /go; do sleep 0.05; done; echo ready; read -r x; echo got $x; exit 7"
    words = node.words("--rm", *SHARED, "--", "sh", "-c", script)
    done: list[Done] = []
    when = ("ready\n", "")
    thread = threading.Thread(
        target=lambda: done.append(node.daemon.converse(*words, typed="typed\n", when=when))
    )
    thread.start()
    waits = node.ids[-1]
    node.wait_for(waits, "RUNNING")
    for _ in range(2):
        _, pid = keeper_and_daemon(node)
        node.host.shell(f"kill -9 {pid}")
        wait_for_successor(node, pid)
    assert node.tasks()[stays][1] == "RUNNING"
    node.host.shell(f": >/proc/{node.tasks()[waits][0]}/root/go")
    thread.join()
    assert (done[0].status, done[0].stdout) == (7, "ready\ngot typed\n"), done[0]
    counted = node.host.shell("ociruntime metrics --shims /run/containerd/s")
    labels = f'{{pid="{keeper_and_daemon(node)[1]}"}}'
    assert f"ociruntime_shim_adopted_containers{labels} " in counted
    assert f"ociruntime_shim_containers{labels} 1\n" in counted
    assert 'method="Delete"' in counted
    after = node("tasks", "exec", "--exec-id", "e", stays, "sh", "-c", "echo again; exit 5")
    assert (after.status, after.stdout) == (5, "again\n")
    node("tasks", "kill", "--signal", "KILL", stays).check()
    node.wait_for(stays, "STOPPED")
    assert "exit code 137" in node("tasks", "delete", stays).stderr


def test_who_ends_without_a_daemon(node: ContainerdWith) -> None:
    """The exit status is the kernel's, and its event comes."""
    log = node.daemon.directory / "events-without"
    node.host.start("ctr", "--address", "/run/containerd.sock", "events", log=log)
    ends = node.up(*SHARED, "--", "sh", "-c", "until test -e /end; do sleep 0.05; done; exit 9")
    init = node.tasks()[ends][0]
    node.host.wait_until(lambda: "/tasks/start" in topics(log, ends), "an event", log)
    its_keeper, pid = keeper_and_daemon(node)
    node.host.shell(
        f"kill -STOP {its_keeper}; kill -9 {pid}; : >/proc/{init}/root/end; "
        f"until grep -q '^State:.Z' /proc/{init}/status; do sleep 0.05; done; "
        f"kill -CONT {its_keeper}"
    )
    wait_for_successor(node, pid)
    node.wait_for(ends, "STOPPED")
    node.host.wait_until(lambda: "/tasks/exit" in topics(log, ends), "its end", log)
    assert "exit code 9" in node("tasks", "delete", ends).stderr


def topics(log: Path, container: str) -> list[str]:
    return [topic for topic, _ in events(log, container)]


def test_death_of_the_keeper(node: ContainerdWith) -> None:
    """The daemon goes on; it will have no successor."""
    container = node.up(*SHARED, "--", "sleep", "1000")
    node.host.shell(f"kill -9 {keeper_and_daemon(node)[0]}")
    done = node("tasks", "exec", "--exec-id", "e", container, "echo", "here").check()
    assert done.stdout == "here\n"
    node("tasks", "delete", "--force", container).check()


def test_death_of_a_successors_keeper(node: ContainerdWith) -> None:
    """Nobody tells how those end that were the first daemon's, but that they have ended."""
    container = node.up(*SHARED, "--", "sleep", "1000")
    its_keeper, pid = keeper_and_daemon(node)
    node.host.shell(f"kill -9 {pid}")
    wait_for_successor(node, pid)
    node.host.shell(f"kill -9 {its_keeper}; kill -9 {node.tasks()[container][0]}")
    node.wait_for(container, "STOPPED")
    assert "exit code 255" in node("tasks", "delete", container).stderr


def test_a_paused_container_stays_paused(node: ContainerdWith) -> None:
    container = node.up(*SHARED, "--", "sleep", "1000")
    node("tasks", "pause", container).check()
    _, pid = keeper_and_daemon(node)
    node.host.shell(f"kill -9 {pid}")
    wait_for_successor(node, pid)
    assert node.tasks()[container][1] == "PAUSED"
    node("tasks", "resume", container).check()
    assert node.tasks()[container][1] == "RUNNING"


def test_death_of_both(node: ContainerdWith) -> None:
    """containerd calls `delete` for each of its containers, and the next one gets a new daemon."""
    dead = [node.up(*SHARED, "--", "sleep", "4321") for _ in range(3)]
    node.host.shell("kill -9 {} {}".format(*keeper_and_daemon(node)))
    for container in dead:
        node.wait_for(container, "gone")
    done = node.run(*SHARED, "--", "echo", "again").check()
    assert done.stdout == "again\n"

    def left() -> list[str]:
        mounts = node.host.shell("cat /proc/self/mountinfo")
        found = [name for name in dead if name in mounts or node.cgroups(name)]
        return found + [str(pid) for pid in node.processes("^sleep 4321")] + sockets(node)

    node.host.wait_until(lambda: not left(), "the end of all that was its", node.daemon.log)


def test_death_of_a_daemon_at_work(node: ContainerdWith) -> None:
    """Requests that are under way are done by the successor, each of them once."""
    stays = node.up(*SHARED, "--", "sleep", "1000")
    wrong: list[Done] = []

    def run(number: int) -> None:
        for turn in range(2):
            name = f"at-work-{number}-{turn}"
            words = ["run", "--rm", "--runtime", "io.containerd.ociruntime.v1", *SHARED, "--cgroup",
                     f"{node.host.cgroup_parent}/{name}", IMAGE, name,
                     "sh", "-c", f"echo {name}; exit {number}"]  # fmt: skip
            done = node(*words)
            if (done.status, done.stdout) != (number, f"{name}\n"):
                wrong.append(done)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(1, 4)]
    for thread in threads:
        thread.start()
    for _ in range(4):
        _, pid = keeper_and_daemon(node)
        node.host.shell(f"kill -9 {pid}")
        wait_for_successor(node, pid)
        node.tasks()
    for thread in threads:
        thread.join()
    assert not wrong, [(d.status, d.stdout, d.stderr) for d in wrong]
    assert node.tasks() == {stays: (node.tasks()[stays][0], "RUNNING")}
