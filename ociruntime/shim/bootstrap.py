"""The commands of a shim's binary: `start` makes (or finds) the daemon, `delete` cleans up after
one that died, `-info` tells what this runtime can (containerd, docs/runtime/v2: "Commands").

containerd reads stdout and stderr of `start` as one text: the address and nothing else. The plain
address is understood by every version from 1.6 on.
"""

from __future__ import annotations

import errno
import time
from _socket import (
    AF_UNIX,
    SOCK_CLOEXEC,
    SOCK_SEQPACKET,
    SOCK_STREAM,
    socket,
    socketpair,
)

from ociruntime import SPEC_VERSION, __version__
from ociruntime import hostos as os
from ociruntime.bundle import parse_settings, read_file
from ociruntime.errors import OciError, UsageError
from ociruntime.kernel._sys import commit
from ociruntime.kernel.sockets import rights
from ociruntime.protobuf import WireError
from ociruntime.shim import messages as m
from ociruntime.shim.cleanup import ADDRESS_FILE, answers, clean_up
from ociruntime.shim.flags import Flags
from ociruntime.shim.options import read_options
from ociruntime.shim.shared import Lock, ask, is_shared, shared_key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ociruntime.log import Log

NAME = "io.containerd.ociruntime.v1"
SOCKET_DIRECTORY = "/run/containerd/s"
GROUPS = ("io.containerd.runc.v2.group", "io.kubernetes.cri.sandbox-id")
STDIN_LIMIT = 4 << 20
KILLED = 128 + 9
FEATURES_URL = "types.containerd.io/opencontainers/runtime-spec/1/features/Features"
PR_SCHED_CORE, PR_SCHED_CORE_CREATE, PIDTYPE_PGID = 62, 1, 2


def run(words: list[str], log: Log) -> int:
    """Carry out one command."""
    flags = Flags(words)
    if flags.switch("v") or flags.switch("version"):
        _say(f"{NAME}\nversion: {__version__}\nrevision: {commit}\nspec: {SPEC_VERSION}\n".encode())
        return 0
    if flags.switch("info"):
        _say(_info())
        return 0
    if flags.action == "start":
        return start(flags, log)
    if flags.action == "delete":
        _say(delete(flags, log))
        return 0
    if flags.action == "adopt":
        from ociruntime.shim.node import adopt

        adopt(log)
    raise UsageError(
        "shim: this is for containerd, as the runtime io.containerd.ociruntime.v1; "
        "it wants start, delete or -info"
    )


def _say(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]


def _stdin() -> bytes:
    """All of standard input; containerd may have closed it."""
    parts = []
    left = STDIN_LIMIT
    try:
        while left > 0 and (part := os.read(0, min(left, 1 << 16))):
            parts.append(part)
            left -= len(part)
    except OSError:
        pass
    return b"".join(parts)


class Boot:
    """What `start` was told: flags, environment and standard input.

    containerd from 2.3 on sends BootstrapParams on stdin, older ones an Any with the runtime's
    options; the bytes do not tell which, but only the former repeat the id and the namespace.
    """

    __slots__ = ("address", "binary", "debug", "id", "namespace", "options", "socket_dir", "ttrpc")

    def __init__(self, flags: Flags, data: bytes) -> None:
        self.id = flags.text("id")
        self.namespace = flags.text("namespace")
        self.address = flags.text("address") or os.getenv("GRPC_ADDRESS") or ""
        self.binary = flags.text("publish-binary")
        self.debug = flags.switch("debug")
        self.ttrpc = os.getenv("TTRPC_ADDRESS") or ""
        self.socket_dir = SOCKET_DIRECTORY
        self.options: dict[str, Any] | None = None
        if not self.id or not self.namespace:
            raise UsageError("shim start: wants -id and -namespace")
        parameters = _parameters(data)
        if (
            parameters is not None
            and parameters["instance_id"] == self.id
            and parameters["namespace"] == self.namespace
        ):
            self.ttrpc = parameters["containerd_ttrpc_address"] or self.ttrpc
            self.address = parameters["containerd_grpc_address"] or self.address
            self.binary = parameters["containerd_binary"] or self.binary
            self.socket_dir = parameters["socket_dir"] or self.socket_dir
            self.debug = self.debug or parameters["log_level"] < 0
            found = [e["value"] for e in parameters["extensions"] if e["value"]]
            known = (m.RUNC_OPTIONS_URL, m.CRI_OPTIONS_URL, m.OLD_OPTIONS_URL)
            self.options = next((any_ for any_ in found if any_["type_url"] in known), None)
        elif data:
            try:
                self.options = m.ANY.decode(data)
            except WireError:
                self.options = None  # the options come with Create once more

    def for_daemon(self, path: str, *, shared: bool) -> bytes:
        """What ``daemon.Orders`` reads; ``path`` is the socket's."""
        debug = "debug" if self.debug else ""
        first = self.id if shared else ""
        words = (path, self.namespace, self.ttrpc, self.address, self.binary, debug, first)
        return "\0".join(words).encode("utf-8", "surrogateescape")


def _parameters(data: bytes) -> dict[str, Any] | None:
    try:
        return m.BOOTSTRAP.decode(data)
    except WireError:
        return None


def group_of(annotations: dict[str, str], container_id: str) -> str:
    """Containers of one group (a pod) have one daemon."""
    return next((annotations[name] for name in GROUPS if annotations.get(name)), container_id)


def socket_path(boot: Boot, group: str) -> str:
    """Where the daemon of a group listens."""
    from ociruntime.digest import digest

    key = f"{boot.address}/{boot.namespace}/{group}".encode()
    return f"{boot.socket_dir}/{digest(key).hex()}"


def start(flags: Flags, log: Log) -> int:
    """Print the address of the container's daemon, which runs from now on.

    The daemon is forked before anything else is done: what its starter needs to find out who it is
    stays out of its memory for good. It begins when it gets its socket, and ends without one.
    """
    if os.getenv("SCHED_CORE"):
        from ociruntime.kernel.kernel import Kernel

        Kernel().invoke("prctl", PR_SCHED_CORE, PR_SCHED_CORE_CREATE, 0, PIDTYPE_PGID, 0)
    ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)
    pid = os.fork()
    if pid == 0:
        from ociruntime.shim.daemon import begin

        ours.close()
        begin(theirs, log)
    theirs.close()
    try:
        address = _hand_over(ours, pid, flags)
    finally:
        ours.close()
    _say(address.encode())
    return 0


def _hand_over(daemon: socket, pid: int, flags: Flags) -> str:
    """The address of the group's daemon: ours, which gets what it needs, or one that was there."""
    boot = Boot(flags, _stdin())
    config = parse_settings(read_file("config.json"), "config.json")
    annotations = config.get("annotations") or {}
    options = read_options(boot.options)
    shared = is_shared(options, annotations)
    if shared:
        path = socket_path(boot, shared_key(boot.ttrpc, options))
        listener = join_or_listen(path, boot.id)
    else:
        path = socket_path(boot, group_of(annotations, boot.id))
        listener = listen(path)
    address = f"unix://{path}"
    if listener is None:
        _write_address(address)
        return address
    try:
        _write_address(address)
        if options.shim_cgroup:
            from ociruntime.shim.owncgroup import move

            move(pid, options.shim_cgroup)
        daemon.sendmsg([boot.for_daemon(path, shared=shared)], rights([listener.fileno()]))
    except BaseException:
        os.unlink(path)
        raise
    return address


def _write_address(address: str) -> None:
    """Where containerd 1.6 looks for it when it starts anew; the working directory is the
    bundle.
    """
    temporary = f".{ADDRESS_FILE}"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, address.encode())
    finally:
        os.close(fd)
    os.rename(temporary, ADDRESS_FILE)


def listen(path: str) -> socket | None:
    """A listening socket at ``path``, or None when a daemon listens there already; what a dead one
    left is replaced.
    """
    os.makedirs(os.path.dirname(path), 0o700)
    end = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)
    mask = os.umask(0o177)
    try:
        for _ in range(2):
            try:
                end.bind(path)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise OciError(f"shim socket {path}: {error.strerror}") from None
            else:
                end.listen(128)
                return end
            if answers(path):
                end.close()
                return None
            os.unlink(path)
    finally:
        os.umask(mask)
    raise OciError(f"shim socket {path}: another shim takes it at the same time; try again")


def join_or_listen(path: str, container_id: str) -> socket | None:
    """None when a daemon listens at ``path`` that will wait for the container, else a listening
    socket.
    """
    while True:
        if ask(path, "Reserve", container_id):
            return None
        with Lock(os.path.dirname(path)):
            if ask(path, "Reserve", container_id):
                return None
            listener = listen(path)
        if listener is not None:
            return listener  # else one that has ended since, or makes room


def delete(flags: Flags, log: Log) -> bytes:
    """Remove what is left of a container whose daemon has gone; the DeleteResponse."""
    bundle = flags.text("bundle") or os.path.join(os.path.dirname(os.getcwd()), flags.text("id"))
    pid = clean_up(flags.text("namespace"), flags.text("id"), bundle, log)
    response = {
        "pid": pid,
        "exit_status": KILLED,
        "exited_at": m.timestamp(time.time_ns()),
    }
    return m.DELETE_RESPONSE.encode(response)


def _info() -> bytes:
    from ociruntime.features import features
    from ociruntime.jsontext import dumps

    data = _stdin()
    information: dict[str, Any] = {
        "name": NAME,
        "version": {"version": __version__, "revision": commit},
        "features": {"type_url": FEATURES_URL, "value": dumps(features()).encode()},
    }
    if data:
        try:
            information["options"] = m.ANY.decode(data)
        except WireError:
            pass  # it is only given back
    return m.RUNTIME_INFO.encode(information)
