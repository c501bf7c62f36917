"""containerd's CRI service, called as a kubelet calls it.

The numbers are those of Kubernetes' cri-api (runtime/v1/api.proto); only the fields that the tests
use are here.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import grpc

from ociruntime.protobuf import BOOL, BYTES, INT, STRING, TEXTS, UINT, Message
from tests.support.engines.containerd import IMAGE, Containerd

POD, CONTAINER, NODE, TARGET = range(4)  # NamespaceMode
CREATED, RUNNING, EXITED = 0, 1, 2  # ContainerState
# As a kubelet asks for: processes are each container's own.
ON_THE_HOST = {"network": NODE, "pid": CONTAINER}
OF_THE_POD = {"pid": CONTAINER}
PAUSE = "localhost/ocirt-pause:latest"
CONFIG = """version = 2
root = "{directory}/root"
state = "/run/containerd"
[grpc]
  address = "/run/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  disable_apparmor = true
  # A host without CAP_SYS_RESOURCE cannot give pods the -998 that they get elsewhere.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.ociruntime]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.ociruntime.options]
        BinaryName = "{runtime}"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.shim]
      runtime_type = "io.containerd.ociruntime.v1"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.path]
      runtime_type = "io.containerd.runc.v2"
      runtime_path = "{shim}"
      pod_annotations = ["io.containerd.ociruntime.v1.daemon"]
      container_annotations = ["io.containerd.ociruntime.v1.daemon"]
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.node]
      runtime_type = "io.containerd.ociruntime.v1"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.node.options]
        ConfigPath = "{directory}/node.toml"
"""
NETWORK = """{"cniVersion": "0.4.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true, "ipam": {
    "type": "host-local", "ranges": [[{"subnet": "10.88.0.0/16"}]],
    "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
"""

INT64 = Message(value=(1, INT))
IDS = Message(host_id=(1, UINT), container_id=(2, UINT), length=(3, UINT))
NAMESPACES = Message(
    network=(1, INT), pid=(2, INT), ipc=(3, INT), target_id=(4, STRING),
    userns_options=(5, Message(mode=(1, INT), uids=(2, [IDS]), gids=(3, [IDS]))),
)  # fmt: skip
PORT = Message(protocol=(1, INT), container_port=(2, INT), host_port=(3, INT))
SANDBOX = Message(
    metadata=(1, Message(name=(1, STRING), uid=(2, STRING), namespace=(3, STRING))),
    hostname=(2, STRING),
    log_directory=(3, STRING),
    port_mappings=(5, [PORT]),
    annotations=(7, TEXTS),
    linux=(8, Message(
        cgroup_parent=(1, STRING),
        security_context=(2, Message(namespace_options=(1, NAMESPACES))),
        sysctls=(3, TEXTS),
    )),
)  # fmt: skip
RESOURCES = Message(
    cpu_period=(1, INT), cpu_quota=(2, INT), cpu_shares=(3, INT), memory_limit_in_bytes=(4, INT),
    oom_score_adj=(5, INT),
)  # fmt: skip
SECURITY = Message(
    capabilities=(1, Message(add=(1, [STRING]), drop=(2, [STRING]))),
    privileged=(2, BOOL),
    namespace_options=(3, NAMESPACES),
    run_as_user=(5, INT64),
    readonly_rootfs=(7, BOOL),
    supplemental_groups=(8, [INT]),
    no_new_privs=(11, BOOL),
    masked_paths=(13, [STRING]),
)
CONFIGURATION = Message(
    metadata=(1, Message(name=(1, STRING), attempt=(2, UINT))),
    image=(2, Message(image=(1, STRING), user_specified_image=(18, STRING))),
    command=(3, [STRING]),
    envs=(6, [Message(key=(1, STRING), value=(2, STRING))]),
    mounts=(7, [Message(
        container_path=(1, STRING), host_path=(2, STRING), readonly=(3, BOOL),
        uid_mappings=(6, [IDS]), gid_mappings=(7, [IDS]), recursive_read_only=(8, BOOL),
    )]),
    log_path=(11, STRING),
    stdin=(12, BOOL),
    tty=(14, BOOL),
    linux=(15, Message(resources=(1, RESOURCES), security_context=(2, SECURITY))),
)
NOTHING = Message()
URL = Message(url=(1, STRING))
CONTAINER_ID = Message(container_id=(1, STRING), timeout=(2, INT))
SANDBOX_ID = Message(pod_sandbox_id=(1, STRING))
USAGE = Message(value=(2, Message(value=(1, UINT))))
# method -> (its request, its response)
METHODS = {
    "Version": (NOTHING, Message(runtime_name=(2, STRING))),
    "Status": (
        NOTHING,
        Message(runtime_handlers=(3, [Message(
            name=(1, STRING),
            features=(2, Message(recursive_read_only_mounts=(1, BOOL), user_namespaces=(2, BOOL))),
        )])),
    ),
    "RunPodSandbox": (Message(config=(1, SANDBOX), runtime_handler=(2, STRING)), SANDBOX_ID),
    "PodSandboxStatus": (
        SANDBOX_ID,
        Message(status=(1, Message(state=(3, INT), network=(5, Message(ip=(1, STRING)))))),
    ),
    "StopPodSandbox": (SANDBOX_ID, NOTHING),
    "RemovePodSandbox": (SANDBOX_ID, NOTHING),
    "CreateContainer": (
        Message(pod_sandbox_id=(1, STRING), config=(2, CONFIGURATION), sandbox_config=(3, SANDBOX)),
        CONTAINER_ID,
    ),
    "StartContainer": (CONTAINER_ID, NOTHING),
    "StopContainer": (CONTAINER_ID, NOTHING),
    "RemoveContainer": (CONTAINER_ID, NOTHING),
    "ContainerStatus": (
        CONTAINER_ID,
        Message(status=(1, Message(state=(3, INT), exit_code=(7, INT), reason=(10, STRING),
                                   message=(11, STRING)))),
    ),
    "ExecSync": (
        Message(container_id=(1, STRING), cmd=(2, [STRING]), timeout=(3, INT)),
        Message(stdout=(1, BYTES), stderr=(2, BYTES), exit_code=(3, INT)),
    ),
    "Exec": (
        Message(container_id=(1, STRING), cmd=(2, [STRING]), tty=(3, BOOL), stdin=(4, BOOL),
                stdout=(5, BOOL), stderr=(6, BOOL)),
        URL,
    ),
    "Attach": (
        Message(container_id=(1, STRING), stdin=(2, BOOL), tty=(3, BOOL), stdout=(4, BOOL),
                stderr=(5, BOOL)),
        URL,
    ),
    "PortForward": (Message(pod_sandbox_id=(1, STRING), port=(2, [INT])), URL),
    "ReopenContainerLog": (CONTAINER_ID, NOTHING),
    "PullImage": (Message(image=(1, Message(image=(1, STRING)))), NOTHING),
    "CheckpointContainer": (
        Message(container_id=(1, STRING), location=(2, STRING), timeout=(3, INT)),
        NOTHING,
    ),
    "ContainerStats": (
        CONTAINER_ID,
        Message(stats=(1, Message(cpu=(2, USAGE), memory=(3, USAGE)))),
    ),
    "UpdateContainerResources": (
        Message(container_id=(1, STRING), linux=(2, RESOURCES)),
        NOTHING,
    ),
}  # fmt: skip
_numbers = itertools.count(1)


class Cri:
    """A containerd whose CRI service has an image for pods and one for containers."""

    def __init__(self, directory: Path, runtime: Path, path: str = "") -> None:
        """``path`` is a further directory of PATH."""
        shim = runtime.with_name("containerd-shim-ociruntime-v1")
        config = CONFIG.format(directory=directory, runtime=runtime, shim=shim, pause=PAUSE)
        self.containerd = Containerd(directory, runtime, config, "k8s.io", path)
        self.host = self.containerd.host
        try:
            (directory / "node.toml").write_text('Daemon = "namespace"\n')
            (directory / "pods.conflist").write_text(NETWORK)
            self.host.shell(f"mkdir -p /etc/cni/net.d; cp {directory}/pods.conflist /etc/cni/net.d")
            self.containerd("-n", "k8s.io", "image", "tag", IMAGE, PAUSE).check()
            socket = f"unix:/proc/{self.host.init}/root/run/containerd.sock"
            self.channel = grpc.insecure_channel(socket)
        except BaseException:
            self.containerd.close()
            raise

    def __call__(self, method: str, /, **values: object) -> dict[str, Any]:
        """Call a method of METHODS; raises grpc.RpcError."""
        request, response = METHODS[method]
        service = "ImageService" if method == "PullImage" else "RuntimeService"
        call = self.channel.unary_unary(
            f"/runtime.v1.{service}/{method}",
            request_serializer=request.encode,
            response_deserializer=response.decode,
        )
        answer: dict[str, Any] = call(values, timeout=180)
        return answer

    def close(self) -> None:
        """End the daemon, its shims and all containers."""
        self.channel.close()
        self.containerd.close()


class Pod:
    """A pod whose containers run with one `handler`, on the host's network unless `network`."""

    def __init__(
        self,
        cri: Cri,
        handler: str,
        *,
        network: bool,
        namespaces: Mapping[str, object] | None = None,
        **values: object,
    ) -> None:
        """``namespaces`` are further NamespaceOptions, of the pod and of its containers."""
        self.cri = cri
        self.host = cri.host
        self.handler = handler
        self.name = f"pod-{next(_numbers)}"
        self.logs = cri.containerd.directory / self.name
        self.logs.mkdir()
        options = OF_THE_POD if network else ON_THE_HOST
        self.security = {"namespace_options": {**options, **(namespaces or {})}}
        parent = f"{self.host.cgroup_parent}/{self.name}"
        linux = {"cgroup_parent": parent, "security_context": self.security}
        self.config = {
            "metadata": {"name": self.name, "uid": self.name, "namespace": "default"},
            # A pod on the host's network has the host's name.
            "hostname": self.name if network else "",
            "log_directory": str(self.logs), "linux": linux, **values,
        }  # fmt: skip
        answer = cri("RunPodSandbox", config=self.config, runtime_handler=handler)
        self.id = answer["pod_sandbox_id"]

    def create(
        self,
        name: str,
        *command: str,
        security: dict[str, object] | None = None,
        resources: dict[str, int] | None = None,
        attempt: int = 0,
        **values: object,
    ) -> str:
        """A container that is created only; its output is written to `name`.log."""
        linux = {"security_context": {**self.security, **(security or {})}}
        config = {
            "metadata": {"name": name, "attempt": attempt}, "image": {"image": IMAGE},
            "command": command, "log_path": f"{name}.log",
            "linux": {**linux, "resources": resources or {}}, **values,
        }  # fmt: skip
        answer = self.cri(
            "CreateContainer", pod_sandbox_id=self.id, config=config, sandbox_config=self.config
        )
        return str(answer["container_id"])

    def start(self, name: str, *command: str, **values: Any) -> str:
        """A container that runs."""
        container = self.create(name, *command, **values)
        self.cri("StartContainer", container_id=container)
        return container

    def shell(self, container: str, script: str) -> str:
        """What a shell script prints in the container; asserts exit status 0."""
        command = ["sh", "-c", script]
        done = self.cri("ExecSync", container_id=container, cmd=command, timeout=90)
        assert done["exit_code"] == 0, done
        return str(done["stdout"].decode())

    def stop(self, container: str, grace: int = 90) -> dict[str, Any]:
        """Stop the container, with so many seconds to end by itself; its status."""
        self.cri("StopContainer", container_id=container, timeout=grace)
        return self.wait_for_end(container)

    def log(self, name: str) -> list[str]:
        """The lines of `name`.log without their times: stream, F or P, and what was written."""
        text = (self.logs / f"{name}.log").read_text()
        return [line.split(" ", 1)[1] for line in text.splitlines()]

    def wait_for_log(self, name: str, count: int) -> list[str]:
        """Wait until `name`.log has so many lines; they are returned as by `log`."""
        path = self.logs / f"{name}.log"
        full = lambda: path.exists() and path.read_text().count("\n") >= count  # noqa: E731
        self.host.wait_until(full, f"{count} lines of output", path)
        return self.log(name)

    def status(self, container: str) -> dict[str, Any]:
        """The container's `status`."""
        status: dict[str, Any] = self.cri("ContainerStatus", container_id=container)["status"]
        return status

    def wait_for_end(self, container: str) -> dict[str, Any]:
        """Wait until the container has ended; its status."""
        ended = lambda: self.status(container)["state"] == EXITED  # noqa: E731
        self.host.wait_until(ended, "the end of a container", self.cri.containerd.log)
        return self.status(container)

    def remove(self) -> None:
        """Stop and remove the pod with its containers."""
        self.cri("StopPodSandbox", pod_sandbox_id=self.id)
        self.cri("RemovePodSandbox", pod_sandbox_id=self.id)


MakePod = Callable[..., Pod]
