"""One daemon of our shim for all containers of a namespace (docs/shim.md): what differs from one
for each is who they share a process with.
"""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from ociruntime.shim.shared import ANNOTATION
from tests.support.engines.containerd import IMAGE, ContainerdWith

OPTIONS = "/run/shared.toml"
SHARED = ("--runtime-config-path", OPTIONS)
ALONE = (*SHARED, "--annotation", f"{ANNOTATION}=pod")


@pytest.fixture
def node(shim: ContainerdWith) -> ContainerdWith:
    """The daemon with our own shim, whose options are in a file."""
    shim.host.run("tee", OPTIONS, stdin='Daemon = "namespace"\n').check()
    return shim


def sockets(node: ContainerdWith) -> list[str]:
    return node.host.run("ls", "/run/containerd/s").stdout.split()


def test_one_process_for_all(node: ContainerdWith) -> None:
    first, second = (node.up(*SHARED, "--", "sleep", "1000") for _ in range(2))
    (pid,) = node.shims()
    assert len(sockets(node)) == 1
    children = Path(f"/proc/{node.host.init}/root/proc/{pid}/task/{pid}/children").read_text()
    assert set(children.split()) == {str(node.tasks()[name][0]) for name in (first, second)}
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
        for turn in range(4):
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
    assert not node.host.cgroups(given_up)
    assert node.tasks()[stays][1] == "RUNNING"
    node("tasks", "delete", "--force", given_up)
    node("tasks", "delete", "--force", stays).check()
    node.host.wait_until(lambda: not node.shims(), f"the end of {pid}", node.daemon.log)


def test_death_of_the_daemon(node: ContainerdWith) -> None:
    """containerd calls `delete` for each of its containers, and the next one gets a new daemon."""
    dead = [node.up(*SHARED, "--", "sleep", "4321") for _ in range(3)]
    (pid,) = node.shims()
    node.host.shell(f"kill -9 {pid}")
    for container in dead:
        node.wait_for(container, "gone")
    done = node.run(*SHARED, "--", "echo", "again").check()
    assert done.stdout == "again\n"

    def left() -> list[str]:
        mounts = node.host.shell("cat /proc/self/mountinfo")
        found = [name for name in dead if name in mounts or node.host.cgroups(name)]
        return found + [str(pid) for pid in node.processes("^sleep 4321")] + sockets(node)

    node.host.wait_until(lambda: not left(), "the end of all that was its", node.daemon.log)
