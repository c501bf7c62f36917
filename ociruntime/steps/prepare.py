"""Host side, before any process exists: claim the id, open what will be needed."""

from __future__ import annotations

import errno
from _socket import (
    AF_UNIX,
    SOCK_CLOEXEC,
    SOCK_SEQPACKET,
    socket,
)

from ociruntime import hostos as os
from ociruntime.cgroups import open_group
from ociruntime.errors import OciError
from ociruntime.kernel import constants as c
from ociruntime.kernel.ocinit import open_memfd, open_program
from ociruntime.kernel.sockets import connect_unix
from ociruntime.process.run import (
    BLOCK_FD,
    CONSOLE_FD,
    INIT_FD,
    ROOTFS_FD,
    SETUP_FD,
    START_FD,
    namespace_fd,
)
from ociruntime.process.step import CONTAINER, Step
from ociruntime.spec.tables import NAMESPACE_FILES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.cgroups.path import Placement
    from ociruntime.process.run import Run
    from ociruntime.state.store import Store
    from ociruntime.state.stored import StoredState

# A backlog of a few: `state` connects to see whether oci-init still waits.
BACKLOG = 16


class ClaimState(Step):
    """Make the container's directory under --root and write down all that is going to exist.

    With a ``placement`` what is there of its directories is looked at now: to write that down later
    (``CreateCgroup``) takes twice as long.
    """

    __slots__ = ("config", "data", "id", "placement", "root", "store")

    kind = "claim-state"

    def __init__(
        self,
        store: Store,
        container_id: str,
        data: StoredState,
        config: bytes,
        placement: Placement | None = None,
    ) -> None:
        super().__init__("", f"container {container_id}")
        self.placement = placement
        self.store = store
        self.root = store.root
        self.id = container_id
        self.data = data
        self.config = config

    def describe(self) -> str:
        return f"claim the id {self.id} under {self.root} and store the configuration"

    def operands(self) -> dict[str, object]:
        return {"root": self.root, "id": self.id}

    def execute(self, run: Run) -> None:
        run.container = container = self.store.claim(self.id)
        run.host_fds.append(container.fd)
        container.data = self.data
        self._survey(run)
        container.store_config(self.config)
        container.save()

    def _survey(self, run: Run) -> None:
        # systemd is asked when its turn comes.
        if self.placement is None or self.placement.unit is not None:
            return
        try:
            open_group(run.kernel, self.placement).survey()
        except OSError:
            return  # it is tried again by who tells of it
        self.data["cgroup"] = self.placement.as_dict()

    def undo(self, run: Run) -> None:
        if run.container is not None:
            run.container.remove()
            run.container.close()
            run.container = None


class OpenInit(Step):
    """Put the program that a process starts as into a sealed memfd: what the container can reach as
    /proc/self/exe (CVE-2019-5736).

    ``program`` is ``oci-setup``, ``oci-init`` or ``oci-exec``.
    """

    __slots__ = ("name", "program")

    kind = "open-init"

    def __init__(self, program: str = "oci-init") -> None:
        super().__init__("", program)
        self.name = SETUP_FD if program == "oci-setup" else INIT_FD
        self.program = program

    def describe(self) -> str:
        return f"copy {self.program} into a sealed memfd"

    def execute(self, run: Run) -> None:
        run.fds[self.name] = open_program(run.kernel, self.program)
        if self.program == "oci-init":
            # What it is told is known when it is executed, but then its number has to be, too.
            run.fds[BLOCK_FD] = open_memfd(run.kernel, "oci-init-block")


class ListenForStart(Step):
    """Make the socket on which oci-init waits for ``start``."""

    __slots__ = ("path",)

    kind = "listen-for-start"

    def __init__(self, directory: str) -> None:
        super().__init__("", "start.sock")
        self.path = directory + "/start.sock"

    def describe(self) -> str:
        return f"listen on {self.path} for `start`"

    def execute(self, run: Run) -> None:
        assert run.container is not None
        server = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)
        # The directory may be searched by everybody; only its owner may start the container.
        before = os.umask(0o177)
        try:
            server.bind(f"/proc/self/fd/{run.container.fd}/start.sock")
            server.listen(BACKLOG)
            run.fds[START_FD] = server.detach()
        finally:
            os.umask(before)
            server.close()


class ConnectConsole(Step):
    """Connect to the engine's socket that will receive the terminal's master."""

    __slots__ = ("path",)

    kind = "connect-console"

    def __init__(self, path: str) -> None:
        super().__init__("/process/terminal", f"--console-socket {path}")
        self.path = path

    def describe(self) -> str:
        return f"connect to the console socket {self.path}"

    def execute(self, run: Run) -> None:
        run.fds[CONSOLE_FD] = connect_unix(self.path)

    def explain(self, number: int) -> str:
        return {
            errno.ENOENT: "no such socket; the caller must listen on it before create",
            errno.ECONNREFUSED: "nobody listens on it",
            errno.ENOTSOCK: "it is not a socket",
        }.get(number, "")


class OpenNamespace(Step):
    """Open a namespace to join and prove its type (config-linux.md#namespaces, ioctl_ns(2)).

    With ``foreign`` it must not be the runtime's own: the container would change the host.
    """

    __slots__ = ("clone_flag", "foreign", "name", "path", "type")

    kind = "open-namespace"

    def __init__(
        self, pointer: str, kind: str, path: str, clone_flag: int, *, foreign: bool
    ) -> None:
        super().__init__(pointer, f"{kind} namespace {path}")
        self.foreign = foreign
        self.type = kind
        self.path = path
        self.clone_flag = clone_flag
        self.name = namespace_fd(kind)

    def describe(self) -> str:
        return f"open the {self.type} namespace {self.path}"

    def explain(self, number: int) -> str:
        return {
            errno.ENOENT: "no such file; has the process or container it belongs to ended?",
            errno.EACCES: "the caller may not open it; run as its owner, or as root",
        }.get(number, "")

    def execute(self, run: Run) -> None:
        fd = run.kernel.open(self.path, c.O_RDONLY | c.O_NONBLOCK)
        run.fds[self.name] = fd
        if run.kernel.filesystem(fd) != c.NSFS_MAGIC:
            raise OSError(
                errno.EINVAL, "it is not a namespace; give a file such as /proc/PID/ns/net"
            )
        found = run.kernel.namespace_type(fd)
        if found != self.clone_flag:
            raise OciError(
                f"{self.label}: the file is a namespace of another type than {self.type}; "
                "correct type or path in linux.namespaces"
            )
        if self.foreign and self._is_ours(run, fd):
            changed = {
                "mount": "the container's root and mounts",
                "uts": "hostname, domainname or linux.sysctl",
            }.get(self.type, "linux.sysctl")
            raise OciError(
                f"{self.label}: it is the runtime's own, so {changed} would change the host; "
                "join another namespace, or make a new one"
            )

    def _is_ours(self, run: Run, fd: int) -> bool:
        own = run.kernel.open(f"/proc/self/ns/{NAMESPACE_FILES[self.type]}", c.O_PATH)
        # O_PATH without O_NOFOLLOW follows the magic link to the namespace itself.
        try:
            return bool(run.kernel.stat(own).ino == run.kernel.stat(fd).ino)
        finally:
            run.kernel.close(own)


class OpenRootfs(Step):
    """Take a detached copy of the rootfs and its mounts (config.md#root).

    ``propagation`` is what the copy is given: MS_SLAVE unless the config wants mount events to
    reach the host.
    """

    __slots__ = ("path", "propagation", "side")

    kind = "open-rootfs"

    def __init__(self, path: str, propagation: int, side: str) -> None:
        super().__init__("/root/path", f"root.path {path}")
        self.path = path
        self.propagation = propagation
        self.side = side

    def describe(self) -> str:
        return f"open {self.path} as the root filesystem"

    def execute(self, run: Run) -> None:
        kernel = run.kernel_of(self.side)
        from_host = self._open(run)
        flags = c.OPEN_TREE_CLONE | c.AT_EMPTY_PATH | c.AT_RECURSIVE
        try:
            run.fds[ROOTFS_FD] = mount = kernel.open_tree(from_host, "", flags)
        finally:
            kernel.close(from_host)
        if self.propagation:
            kernel.mount_setattr(mount, propagation=self.propagation, recursive=True)

    def _open(self, run: Run) -> int:
        how = c.O_PATH | c.O_DIRECTORY
        if self.side == CONTAINER:
            return run.inner.open(self.path, how)
        try:
            return run.kernel.openat2(c.AT_FDCWD, self.path, how, c.RESOLVE_NO_SYMLINKS)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
        run.plain_root = False
        return run.kernel.open(self.path, how)

    def undo(self, run: Run) -> None:
        if run.stubs:
            # Imported for creates that fail.
            from ociruntime.steps.leftovers import remove_made

            remove_made(run, self.path)

    def explain(self, number: int) -> str:
        return {
            errno.ENOENT: "no such directory; unpack the image's files there (config.md#root)",
            errno.ENOTDIR: "it is not a directory",
            errno.EACCES: "the caller may not search a directory above it; chmod o+x that one",
            errno.EPERM: "mounting needs root or a user namespace; run as root, or see "
            "`spec --rootless`",
        }.get(number, "")
