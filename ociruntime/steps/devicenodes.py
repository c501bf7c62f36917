"""linux.devices of a container with a user namespace, made by root of the host.

Inside, mknod(2) is forbidden (user_namespaces(7)). So the host side makes the nodes, with the
owners and modes of the config, in a tmpfs that nobody else sees, and init binds them one by one;
the host itself need not have them. A privileged container has some hundred: no descriptor is held
for each of them.
"""

from __future__ import annotations

from ociruntime import hostos as os
from ociruntime.kernel import constants as c
from ociruntime.process.run import NODES_FD
from ociruntime.process.step import ContainerStep, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.process.run import Run
    from ociruntime.steps.devices import MakeDevice


class MakeNodes(Step):
    """Make the nodes in a detached tmpfs, each with its ``MakeDevice.node`` for a name.

    Parameters: ``owners`` are the ids (uid, gid) of the host for each of ``devices``. A caller who
    may not make nodes leaves it to ``MakeDevice`` to bind the host's.
    """

    __slots__ = ("devices", "owners")

    kind = "make-nodes"

    def __init__(self, devices: list[MakeDevice], owners: list[tuple[int, int]]) -> None:
        super().__init__("/linux/devices", "device nodes for the user namespace")
        self.devices = devices
        self.owners = owners

    def describe(self) -> str:
        names = ", ".join(step.device.path for step in self.devices)
        return f"make nodes for {names} in a tmpfs of the host's user namespace"

    def execute(self, run: Run) -> None:
        kernel = run.kernel
        options = ["mode=711", "size=64k"]
        run.fds[NODES_FD] = nodes = kernel.new_filesystem("tmpfs", "tmpfs", options)
        for step, (uid, gid) in zip(self.devices, self.owners, strict=True):
            device, name = step.device, step.node
            number = os.makedev(device.major, device.minor)
            try:
                kernel.mknodat(nodes, name, device.kind | device.mode, number)
            except PermissionError:
                kernel.close(run.fds.pop(NODES_FD))
                return
            kernel.fchownat(nodes, name, uid, gid)
            kernel.fchmodat(nodes, name, device.mode)


class ShowNodes(ContainerStep):
    """Let ``MakeDevice`` take copies of the nodes.

    The kernel copies only what is attached (open_tree(2)): the tmpfs lies over the namespace's own
    root meanwhile, where no path that begins there meets it.
    """

    __slots__ = ()

    kind = "show-nodes"

    def __init__(self) -> None:
        super().__init__("/linux/devices", "device nodes for the user namespace")

    def describe(self) -> str:
        return "attach the device nodes where nothing looks"

    def execute(self, run: Run) -> None:
        kernel = run.inner
        nodes = run.fds.get(NODES_FD, -1)
        if nodes < 0:
            return
        top = kernel.open("/", c.O_PATH | c.O_DIRECTORY)
        kernel.move_mount(nodes, top)
        kernel.close(top)
        run.mounts[NODES_FD] = nodes


class HideNodes(ContainerStep):
    """Take away what ``ShowNodes`` attached."""

    __slots__ = ()

    kind = "hide-nodes"

    def __init__(self) -> None:
        super().__init__("/linux/devices", "device nodes for the user namespace")

    def describe(self) -> str:
        return "detach the device nodes"

    def execute(self, run: Run) -> None:
        kernel = run.inner
        nodes = run.mounts.pop(NODES_FD, -1)
        if nodes < 0:
            return
        before = kernel.open(".", c.O_PATH | c.O_DIRECTORY)
        kernel.fchdir(nodes)
        kernel.unmount_here()
        kernel.fchdir(before)
        kernel.close(before)
        kernel.close(nodes)
