"""What a kubelet does with the containers of a pod: sidecars, hooks, restarts, debugging, ids."""

from __future__ import annotations

import grpc
import pytest

from tests.support.engines.compared import with_own
from tests.support.engines.cri import POD, RUNNING, TARGET, Cri, MakePod

# Where the time is short, one daemon for all pods stands for one a pod.
everyone = pytest.mark.parametrize(
    "pod", with_own("shim", *with_own("runc", "ociruntime", "node")), indirect=True
)
# Handlers of which containerd 2.1 asks what they can; the last has runc's type and our shim's path.
asked = pytest.mark.parametrize("pod", with_own("runc", "ociruntime", "path"), indirect=True)
FIRST_ID, IDS = 200000, 65536
ENDLESS = "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.05; done"


@everyone
def test_sidecar(pod: MakePod) -> None:
    """An init container that ends, one that stays (probed before the next starts, and ended last),
    and a main container that uses both.
    """
    made = pod()
    made.host.shell(f"mkdir /run/{made.name}")
    mounts = [{"container_path": "/shared", "host_path": f"/run/{made.name}"}]
    init = made.start("init", "sh", "-c", "echo prepared >/shared/init", mounts=mounts)
    assert made.wait_for_end(init)["reason"] == "Completed"
    serve = """mkfifo /shared/ask; : >/shared/ready
        trap 'echo last; exit 0' TERM
        while read -r word <>/shared/ask; do
            echo "$word $(cat /shared/init)" >/shared/out
        done"""
    sidecar = made.start("sidecar", "sh", "-c", serve, mounts=mounts)
    probe = {"container_id": sidecar, "cmd": ["test", "-e", "/shared/ready"], "timeout": 90}
    made.host.wait_until(
        lambda: made.cri("ExecSync", **probe)["exit_code"] == 0, "the sidecar",
        made.logs / "sidecar.log",
    )  # fmt: skip
    script = "echo hello >/shared/ask; until grep hello /shared/out 2>/dev/null; do :; done"
    main = made.start("main", "sh", "-c", script, mounts=mounts)
    assert made.wait_for_end(main)["reason"] == "Completed"
    assert made.log("main") == ["stdout F hello prepared"]
    assert made.status(sidecar)["state"] == RUNNING
    assert made.stop(sidecar)["exit_code"] == 0
    assert made.log("sidecar") == ["stdout F last"]


@everyone
def test_pre_stop(pod: MakePod) -> None:
    """The hook runs while the container does; then TERM, and KILL for one that does not heed it."""
    made = pod()
    script = "trap '[ -e /drained ] && exit 3; exit 4' TERM; echo up; while :; do sleep 0.05; done"
    heeds = made.start("heeds", "sh", "-c", script)
    deaf = made.start("deaf", "sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.05; done")
    for name in ("heeds", "deaf"):
        made.wait_for_log(name, 1)
    made.shell(heeds, "touch /drained")
    assert made.stop(heeds)["exit_code"] == 3
    status = made.stop(deaf, grace=1)
    assert (status["exit_code"], status["reason"]) == (137, "Error")
    with pytest.raises(grpc.RpcError, match="CONTAINER_EXITED"):
        made.cri("ExecSync", container_id=heeds, cmd=["true"], timeout=90)


@everyone
def test_restart(pod: MakePod) -> None:
    """A container that fails is made again in its pod, while its neighbour goes on."""
    made = pod()
    neighbour = made.start("neighbour", "sleep", "1000")
    former = ""
    for attempt in range(3):
        container = made.start(
            "fails", "sh", "-c", f"echo {attempt}; exit {attempt + 1}", attempt=attempt,
            log_path=f"fails-{attempt}.log",
        )  # fmt: skip
        if former:
            # The kubelet keeps the last one for `logs --previous`, and removes it later.
            made.cri("RemoveContainer", container_id=former)
        status = made.wait_for_end(container)
        assert (status["exit_code"], status["reason"]) == (attempt + 1, "Error")
        assert made.wait_for_log(f"fails-{attempt}", 1) == [f"stdout F {attempt}"]
        former = container
    assert made.status(neighbour)["state"] == RUNNING
    assert made.shell(neighbour, "echo alive") == "alive\n"


@everyone
def test_ephemeral_container(pod: MakePod) -> None:
    """`kubectl debug --target`: a further container with the processes of one that runs. It ends
    without it, and not the other way round.
    """
    made = pod()
    target = made.start("target", "sleep", "1234")

    def debug(name: str, *command: str) -> str:
        options = {**made.security["namespace_options"], "pid": TARGET, "target_id": target}
        security = {"namespace_options": options, "capabilities": {"add": ["SYS_PTRACE"]}}
        return made.start(name, *command, security=security)

    made.shell(target, "echo secret >/only-here")
    script = "cat /proc/1/root/only-here; tr '\\0' ' ' </proc/1/cmdline; echo; ls /only-here"
    first = debug("first", "sh", "-c", script)
    assert made.wait_for_end(first)["exit_code"] == 1
    said = made.wait_for_log("first", 3)
    assert [line for line in said if "stdout" in line] == [
        "stdout F secret", "stdout F sleep 1234 ",
    ]  # fmt: skip
    assert "No such file" in next(line for line in said if "stderr" in line)
    assert made.status(target)["state"] == RUNNING
    second = debug("second", "sh", "-c", ENDLESS)
    made.wait_for_log("second", 1)
    assert "sleep 1234" in made.shell(second, "tr '\\0' ' ' </proc/1/cmdline")
    assert made.stop(target, grace=0)["exit_code"] == 137
    assert made.wait_for_end(second)["exit_code"] == 137


@everyone
def test_shared_processes(pod: MakePod) -> None:
    """`shareProcessNamespace`: a container that ends takes its own processes, and no others."""
    made = pod(namespaces={"pid": POD})
    script = "setsid sleep 4321 & setsid sleep 4322 & echo up; exec sleep 4320"
    first = made.start("first", "sh", "-c", script)
    second = made.start("second", "sleep", "5320")
    made.wait_for_log("first", 1)
    list_all = "ps -o args | grep -o '^sleep [45]32.' | sort"
    assert made.shell(second, list_all).split("\n")[:4] == [
        "sleep 4320", "sleep 4321", "sleep 4322", "sleep 5320",
    ]  # fmt: skip
    assert made.shell(second, "kill -0 1; echo $?") == "0\n"
    assert made.stop(first, grace=0)["exit_code"] == 137
    assert made.shell(second, list_all) == "sleep 5320\n"
    assert made.status(second)["state"] == RUNNING


@everyone
def test_out_of_memory_of_a_child(pod: MakePod) -> None:
    """A process that the kernel ends for memory, in a container that goes on and is resized."""
    made = pod()
    script = """until [ -e /go ]; do sleep 0.05; done
        tail /dev/zero; echo $?; until [ -e /end ]; do sleep 0.05; done"""
    resources = {"memory_limit_in_bytes": 64 << 20}
    container = made.start("first", "sh", "-c", script, resources=resources)
    changed = {"memory_limit_in_bytes": 16 << 20}
    made.cri("UpdateContainerResources", container_id=container, linux=changed)
    made.shell(container, ": >/go")
    assert "stdout F 137" in made.wait_for_log("first", 2)
    # Where containerd's own shim watches, the exit may be seen before the reason.
    if made.handler in ("shim", "node"):
        told = lambda: made.status(container)["reason"] == "OOMKilled"  # noqa: E731
        made.host.wait_until(told, "the reason", made.cri.containerd.log)
    assert made.status(container)["state"] == RUNNING
    made.shell(container, ": >/end")
    assert made.wait_for_end(container)["exit_code"] == 0


def features(cri: Cri) -> dict[str, dict[str, bool]]:
    """What containerd says that each handler can; skips the test where it says nothing."""
    handlers = cri("Status")["runtime_handlers"]
    if not handlers:
        pytest.skip("this containerd does not tell what handlers can: containerd 2 does")
    return {handler["name"]: handler["features"] or {} for handler in handlers}


def test_features(cri: Cri) -> None:
    """Ours can what runc can, by its binary and by our shim's path. Handlers of other types than
    runc's are not asked before containerd 2.3.4.
    """
    everything = {"recursive_read_only_mounts": True, "user_namespaces": True}
    told = features(cri)
    assert [told[name] for name in ("runc", "ociruntime", "path")] == [everything] * 3
    assert told["shim"] in ({}, everything)


@asked
def test_user_namespace(pod: MakePod, cri: Cri) -> None:
    """`hostUsers: false`: root is nobody outside, and volumes are mapped."""
    features(cri)
    ids = [{"host_id": FIRST_ID, "container_id": 0, "length": IDS}]
    made = pod(network=True, namespaces={
        "userns_options": {"mode": POD, "uids": ids, "gids": ids},
    })  # fmt: skip
    made.host.shell(f"mkdir -m 777 /run/{made.name}; echo text >/run/{made.name}/file")
    volume = {"container_path": "/given", "host_path": f"/run/{made.name}",
              "uid_mappings": ids, "gid_mappings": ids}  # fmt: skip
    first = made.start("first", "sleep", "1000", mounts=[volume])
    second = made.start("second", "sleep", "1000", mounts=[volume])
    script = """tr -s ' ' </proc/self/uid_map; stat -c %u:%g /given/file /bin/busybox
        touch /given/new /new; id -u; hostname; readlink /proc/self/ns/user"""
    texts = [made.shell(container, script).split() for container in (first, second)]
    assert texts[0] == texts[1]
    assert texts[0][:-1] == ["0", str(FIRST_ID), str(IDS), "0:0", "0:0", "0", made.name]
    assert made.host.shell(f"stat -c %u /run/{made.name}/new") == "0\n"
    assert made.host.shell("readlink /proc/self/ns/user").strip() != texts[0][-1]
    pids = made.host.shell("pgrep -f '^sleep 1000$'").split()
    assert {made.host.shell(f"stat -c %u /proc/{pid}").strip() for pid in pids} == {str(FIRST_ID)}


@asked
def test_recursive_read_only(pod: MakePod, cri: Cri) -> None:
    """`recursiveReadOnly: Enabled`: mounts below a volume are not written to either."""
    features(cri)
    made = pod()
    place = f"/run/{made.name}"
    made.host.shell(f"mkdir -p {place}; mount -t tmpfs tmpfs {place}; mkdir {place}/below; "
                    f"mount -t tmpfs tmpfs {place}/below")  # fmt: skip
    try:
        whole, top = (
            {"container_path": f"/{name}", "host_path": place, "readonly": True,
             "recursive_read_only": name == "whole"} for name in ("whole", "top")
        )  # fmt: skip
        container = made.start("first", "sleep", "1000", mounts=[whole, top])
        script = """for place in /whole /whole/below /top /top/below; do
            touch $place/x 2>/dev/null; echo $?
        done"""
        assert made.shell(container, script).split() == ["1", "1", "1", "0"]
        made.stop(container, grace=0)
    finally:
        made.host.shell(f"umount -l {place}/below {place}")


@pytest.mark.parametrize("pod", ["path"], indirect=True)
def test_pods_ask_for_one_daemon(pod: MakePod, cri: Cri) -> None:
    """By an annotation, which the handler hands on; who does not ask has a daemon of his own."""
    features(cri)  # before it, containerd gives a pod's own container to runc's shim
    asks = {"io.containerd.ociruntime.v1.daemon": "namespace"}

    def daemons() -> int:
        # A worker has the same name for the moment that it works.
        return int(cri.host.run("pgrep", "-cx", "ociruntime-shim").output)

    for wanted, asked_for in ((1, asks), (1, asks), (2, {}), (3, {})):
        made = pod(annotations=asked_for)
        made.start("first", "sleep", "1000")
        cri.host.wait_until(
            lambda wanted=wanted: daemons() == wanted, f"{wanted} daemons", cri.containerd.log, 20
        )
