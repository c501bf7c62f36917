"""Work that leads to nothing, for the start image: afterwards the interpreter has specialized the
code by which a command plans and compiles (PEP 659) and filled its caches, and every command finds
it so.

Nothing of the machine is read or changed here, so the image knows nothing about it.
"""

from __future__ import annotations

from ociruntime.arguments import parse
from ociruntime.bundle import parse_object, parse_settings
from ociruntime.cgroups.detect import HYBRID, Hierarchy, Layout
from ociruntime.cli.create import ALIASES, OPTIONS
from ociruntime.cli.exec import ALIASES as EXEC_ALIASES
from ociruntime.cli.exec import OPTIONS as EXEC_OPTIONS
from ociruntime.cli.exec import process_of
from ociruntime.jsontext import dumps
from ociruntime.kernel.inside import Inside
from ociruntime.kernel.kernel import Kernel
from ociruntime.kernel.program import RECORD, RECORD_DONE
from ociruntime.plan.build import build
from ociruntime.plan.exec import build as build_exec
from ociruntime.plan.exec import completed
from ociruntime.plan.host import Host, Powers
from ociruntime.plan.requests import CreateRequest, ExecRequest
from ociruntime.process.run import CHANNEL_FD, CONTAINER_FD, INIT_FD, ROOT_FD, Run, namespace_fd
from ociruntime.process.step import CONTAINER
from ociruntime.spec import load
from ociruntime.state.store import Container, Store
from ociruntime.steps.enter import EnterContainer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ociruntime.kernel.kernel import Argument
    from ociruntime.process.step import Step
    from ociruntime.spec.documents import Config, SyscallArgConfig
    from ociruntime.state.stored import StoredState

# The interpreter counts eight calls before it looks at a function, and some more at each operation.
TIMES = 40
# Of descriptors that are not open.
FIRST = 3


def warm_up() -> None:
    """Check and plan an example again and again, and an exec in it."""
    host = Host(0, 0, (1 << 41) - 1, 40, _layout(), in_userns=False)
    store = Store("/nowhere")
    for _ in range(TIMES):
        parse(["--bundle", "/b", "warm"], OPTIONS, ALIASES, stop_at_argument=False, command="run")
        document = _document()
        text = dumps(document).encode()
        load(text, document, source="config.json")
        plan = build(document, text, host, CreateRequest("warm", store, "/b"))
        _exec(Warm(store, parse_settings(text, "config.json"), plan.state))
        _compile(plan.steps)


class Warm(Container):
    """A container that exists nowhere."""

    __slots__ = ()

    def __init__(self, store: Store, config: Config, state: StoredState) -> None:
        super().__init__(store, "warm", -1)
        self._config = config
        data: Any = parse_object(dumps(state).encode(), "state", names=True)
        self.data = data
        self.data["pid"], self.data["start_time"], self.data["root"] = 1, 1, [0, 1, 2]


def _exec(container: Container) -> None:
    words = parse(["warm", "/bin/true"], EXEC_OPTIONS, EXEC_ALIASES, stop_at_argument=True,
                  command="exec")  # fmt: skip
    process = completed(container, process_of(container, words, print))
    powers = Powers(0, (1 << 41) - 1, 40)
    run = build_exec(container, process, ExecRequest(), Kernel(), powers)
    names = (INIT_FD, CHANNEL_FD, ROOT_FD, CONTAINER_FD, namespace_fd("cgroup"))
    run.fds.update({name: FIRST + number for number, name in enumerate(names)})
    run.seccomp = bytes(800), 0
    for step in run.steps:
        if isinstance(step, EnterContainer):
            step.pack(run)


class _Nobody:
    """oci-setup, which has done everything that it was asked for."""

    def send_program(self, content: bytes, fds: Sequence[int] = ()) -> None:
        """It is done already."""

    def receive(self) -> bytes:
        return RECORD.pack(RECORD_DONE, 0, RECORD.size, 0, 0, 0)


class _Nothing(Kernel):
    """A kernel that does nothing, successfully."""

    def invoke(self, name: str, *args: Argument) -> int:
        return len(args[1]) if name == "write" and isinstance(args[1], bytearray) else 0


class _NoDescriptors(dict[str, int]):
    def __missing__(self, name: str) -> int:
        return 5


def _compile(steps: list[Step]) -> None:
    """What the container's side of a plan does before oci-setup is asked."""
    run = Run(_Nothing(), steps)
    run.fds = _NoDescriptors()
    run.setup = Inside(_Nobody(), run.stubs)  # type: ignore[arg-type]
    for step in steps:
        if step.side == CONTAINER:
            run.inner.step = step
            step.execute(run)
    # Nobody collects cycles while the image is made.
    run.inroot = None


def _layout() -> Layout:
    names = ("cpu", "memory", "devices", "freezer", "pids")
    hierarchies = [Hierarchy(name, (name,), f"/c/{name}", "/", "/") for name in names]
    return Layout(HYBRID, [*hierarchies, Hierarchy("", (), "/c/unified", "/", "/")])


def _document() -> Config:
    secure = ["nosuid", "noexec", "nodev"]
    argument: SyscallArgConfig = {"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}
    return {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": ["/bin/true"],
            "env": ["PATH=/bin"],
            "cwd": "/",
            "capabilities": {"bounding": ["CAP_KILL"], "effective": ["CAP_KILL"]},
            "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 1024}],
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "warm",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": [*secure, "ro"]},
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup"},
            {"destination": "/etc/x", "type": "bind", "source": "/x", "options": ["rbind", "ro"]},
        ],
        "linux": {
            "namespaces": [
                {"type": name} for name in ("pid", "network", "ipc", "uts", "mount", "cgroup")
            ],
            "resources": {
                "devices": [{"allow": False, "access": "rwm"}],
                "memory": {"limit": 1 << 28},
                "cpu": {"shares": 512},
                "pids": {"limit": 100},
            },
            "seccomp": {
                "defaultAction": "SCMP_ACT_ERRNO",
                "defaultErrnoRet": 1,
                "architectures": ["SCMP_ARCH_X86_64"],
                "syscalls": [
                    {"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [argument]},
                    {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
                ],
            },
            "maskedPaths": ["/proc/kcore"],
            "readonlyPaths": ["/proc/sys"],
        },
    }
