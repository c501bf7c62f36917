"""Kubernetes' path: pods and containers through containerd's CRI, by RuntimeClass handler."""

from __future__ import annotations

import grpc
import pytest

from tests.clients.conftest import HANDLERS
from tests.clients.test_docker_network import FETCH, SERVE
from tests.support.engines.cri import CREATED, RUNNING, Cri, MakePod

# One daemon of our shim for all pods: no scenario knows of it, so these are enough.
everywhere = pytest.mark.parametrize("pod", [*HANDLERS, "node"], indirect=True)


@everywhere
def test_lifecycle(pod: MakePod) -> None:
    made = pod()
    script = "trap 'exit 3' TERM; echo out; echo err >&2; while :; do sleep 0.1; done"
    container = made.create("first", "sh", "-c", script)
    assert made.status(container)["state"] == CREATED
    made.cri("StartContainer", container_id=container)
    assert made.status(container)["state"] == RUNNING
    assert sorted(made.wait_for_log("first", 2)) == ["stderr F err", "stdout F out"]
    status = made.stop(container)
    assert (status["exit_code"], status["reason"]) == (3, "Error")
    made.cri("RemoveContainer", container_id=container)
    done = made.wait_for_end(made.start("second", "true"))
    assert (done["exit_code"], done["reason"]) == (0, "Completed")


@everywhere
def test_containers_share_the_pod(pod: MakePod) -> None:
    """Network, IPC and host name are the pod's; mounts and processes each container's own."""
    made = pod(network=True)
    script = "for name in net ipc uts mnt pid; do readlink /proc/self/ns/$name; done; hostname"
    first, second = (made.start(name, "sleep", "1000") for name in ("first", "second"))
    one, two = (made.shell(container, script).split() for container in (first, second))
    assert one[:3] == two[:3]
    assert one[3] != two[3]
    assert one[4] != two[4]
    assert one[5] == made.name
    assert "sleep 1000" in made.shell(first, "ps -o pid,args").splitlines()[1]
    made.shell(first, "echo shared >/dev/shm/file")
    assert made.shell(second, "cat /dev/shm/file") == "shared\n"


def test_network_and_host_port(pod: MakePod) -> None:
    port = {"container_port": 6379, "host_port": 6378}
    made = pod(network=True, port_mappings=[port])
    made.start("server", "sh", "-c", SERVE, "sh", "served")
    status = made.cri("PodSandboxStatus", pod_sandbox_id=made.id)["status"]
    address = status["network"]["ip"]
    assert address.startswith("10.88.")
    gateway = made.host.shell("ip -o -4 addr show cni0").split()[3].split("/")[0]
    text = made.host.shell(f"{FETCH} fetch {address} 6379; fetch {gateway} 6378")
    assert text.split() == ["served"] * 2


def test_exec(pod: MakePod) -> None:
    made = pod()
    container = made.start("first", "sleep", "1000", envs=[{"key": "A", "value": "b"}])
    command = ["sh", "-c", "echo $A; echo err >&2; exit 9"]
    done = made.cri("ExecSync", container_id=container, cmd=command, timeout=90)
    assert (done["stdout"], done["stderr"], done["exit_code"]) == (b"b\n", b"err\n", 9)
    with pytest.raises(grpc.RpcError, match="executable file not found"):
        made.cri("ExecSync", container_id=container, cmd=["no-such-program"], timeout=90)
    with pytest.raises(grpc.RpcError) as caught:
        made.cri("ExecSync", container_id=container, cmd=["sleep", "1000"], timeout=1)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert "sleep" in made.shell(container, "ps -o args").splitlines()[1]
    assert made.shell(container, "ps -o args").count("sleep 1000") == 1


def test_security_context(pod: MakePod) -> None:
    security = {
        "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
        "run_as_user": {"value": 1000}, "supplemental_groups": [7], "readonly_rootfs": True,
        "no_new_privs": True, "masked_paths": ["/etc/passwd"],
    }  # fmt: skip
    made = pod()
    container = made.start("first", "sleep", "1000", security=security)
    script = """id -u; id -G; touch /x 2>/dev/null || echo refused; wc -c </etc/passwd
        grep -E '^(CapBnd|NoNewPrivs):' /proc/self/status | cut -f2"""
    assert made.shell(container, script).split() == [
        "1000", "1000", "7", "refused", "0", f"{1 << 10:016x}", "1",
    ]  # fmt: skip


def test_limits_and_statistics(pod: MakePod) -> None:
    made = pod()
    resources = {"cpu_period": 100000, "cpu_quota": 50000, "cpu_shares": 512,
                 "memory_limit_in_bytes": 64 << 20, "oom_score_adj": 300}  # fmt: skip
    container = made.start("first", "sleep", "1000", resources=resources)
    script = """cd /sys/fs/cgroup; cat cpu/cpu.cfs_quota_us cpu/cpu.shares
        cat memory/memory.limit_in_bytes /proc/1/oom_score_adj"""
    assert made.shell(container, script).split() == ["50000", "512", "67108864", "300"]
    stats = made.cri("ContainerStats", container_id=container)["stats"]
    assert 0 < stats["memory"]["value"]["value"] < 64 << 20
    assert stats["cpu"]["value"]["value"] > 0
    changed = {"cpu_quota": 25000, "memory_limit_in_bytes": 32 << 20}
    made.cri("UpdateContainerResources", container_id=container, linux=changed)
    assert made.shell(container, script).split() == ["25000", "512", "33554432", "300"]


def test_what_cannot_be_run(pod: MakePod) -> None:
    made = pod()
    container = made.create("first", "no-such-program")
    with pytest.raises(grpc.RpcError, match="executable file not found"):
        made.cri("StartContainer", container_id=container)
    status = made.status(container)
    assert status["reason"] == "StartError"
    assert 'exec: "no-such-program": executable file not found in $PATH' in status["message"]
    assert status["exit_code"] == 128


def test_out_of_memory(pod: MakePod) -> None:
    made = pod()
    resources = {"memory_limit_in_bytes": 16 << 20}
    container = made.start("first", "tail", "/dev/zero", resources=resources)
    status = made.wait_for_end(container)
    assert status["exit_code"] == 137
    # Where containerd's own shim watches, the exit may be seen before the reason.
    if made.handler == "shim":
        assert status["reason"] == "OOMKilled"


def test_volumes(pod: MakePod, cri: Cri) -> None:
    cri.host.shell("mkdir -p /run/volume; echo from the host >/run/volume/file")
    mount = {"container_path": "/given", "host_path": "/run/volume", "readonly": True}
    made = pod()
    container = made.start("first", "sleep", "1000", mounts=[mount])
    script = "cat /given/file; touch /given/x 2>/dev/null || echo refused"
    assert made.shell(container, script) == "from the host\nrefused\n"
