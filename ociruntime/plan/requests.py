"""What a caller adds to the config: requests for `create` and `exec`. Whoever lets callers in (the
command line, the zygote, the shim) only translates into these.
"""

from __future__ import annotations

from ociruntime.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ociruntime.process.step import Step
    from ociruntime.spec.documents import ProcessConfig
    from ociruntime.state.store import Container, Store

MANAGERS = ("cgroupfs", "systemd", "disabled")


class CreateRequest:
    """For ``create`` and ``run``; paths are absolute.

    id, store         the container and where its state is
    bundle            real path of the bundle directory
    pid_file          or None
    console_socket    or None
    console_fd        a connected socket for the terminal's master (`run` in the foreground), -1
                      without
    relayed           whether the terminal's output goes to our own standard output
    pidfd_socket      or None
    pivot             False with --no-pivot
    new_keyring       False with --no-new-keyring
    systemd           "system" or "user": whose systemd makes the cgroup; "" for the cgroupfs driver
    cgroups           False with --cgroup-manager disabled: the container stays in the caller's
                      cgroup
    streams           what becomes descriptors 0 to 2 of the process, empty for our own
    preserve_fds      how many descriptors from 3 on stay open in the container
    variables         NAME=VALUE, added to process.env
    beginning         steps to execute once the id is claimed
    """

    __slots__ = (
        "beginning",
        "bundle",
        "cgroups",
        "console_fd",
        "console_socket",
        "id",
        "new_keyring",
        "pid_file",
        "pidfd_socket",
        "pivot",
        "preserve_fds",
        "relayed",
        "store",
        "streams",
        "systemd",
        "variables",
    )

    def __init__(
        self,
        container_id: str,
        store: Store,
        bundle: str,
        *,
        pid_file: str | None = None,
        console_socket: str | None = None,
        console_fd: int = -1,
        pidfd_socket: str | None = None,
        pivot: bool = True,
        new_keyring: bool = True,
        cgroup_manager: str = "cgroupfs",
        preserve_fds: int = 0,
    ) -> None:
        """``cgroup_manager`` is one of ``MANAGERS``, else ``UsageError`` is raised."""
        if cgroup_manager not in MANAGERS:
            raise UsageError(
                f"create: cgroup_manager {cgroup_manager}: use cgroupfs, systemd or disabled"
            )
        self.id = container_id
        self.store = store
        self.bundle = bundle
        self.pid_file = pid_file
        self.console_socket = console_socket
        self.console_fd = console_fd
        self.relayed = False
        self.pidfd_socket = pidfd_socket
        self.pivot = pivot
        self.cgroups = cgroup_manager != "disabled"
        # Whose it is becomes clear when the host is known (``lifecycle.create.make_plan``).
        self.systemd = "system" if cgroup_manager == "systemd" else ""
        self.new_keyring = new_keyring
        self.streams: tuple[int, ...] = ()
        self.preserve_fds = preserve_fds
        self.variables: list[str] = []
        self.beginning: list[Step] = []


class ExecRequest:
    """For ``exec``, beside the process itself; paths are absolute.

    cgroups are the values of --cgroup (``cgroups.inner``); console_fd is a connected socket for the
    terminal's master when there is no console_socket; relayed as ``CreateRequest``'; streams are
    ``Run``'s. program is what is executed where that is not process.args[0]; adds_home says whether
    HOME is found out when process.env lacks it.
    """

    __slots__ = (
        "adds_home",
        "cgroups",
        "console_fd",
        "console_socket",
        "ignore_paused",
        "pid_file",
        "pidfd_socket",
        "preserve_fds",
        "program",
        "relayed",
        "streams",
    )

    def __init__(
        self,
        *,
        pid_file: str | None = None,
        console_socket: str | None = None,
        console_fd: int = -1,
        pidfd_socket: str | None = None,
        ignore_paused: bool = False,
        preserve_fds: int = 0,
        cgroups: Sequence[str] = (),
    ) -> None:
        self.cgroups = list(cgroups)
        self.console_fd = console_fd
        self.console_socket = console_socket
        self.ignore_paused = ignore_paused
        self.pid_file = pid_file
        self.pidfd_socket = pidfd_socket
        self.preserve_fds = preserve_fds
        self.streams: tuple[int, ...] = ()
        self.program = ""
        self.relayed = False
        self.adds_home = True


def own_process(container: Container) -> ProcessConfig:
    """The container's own process for `exec` to change, without its terminal, which is taken."""
    given: ProcessConfig = container.config().get("process") or {"cwd": "/"}
    process = given.copy()
    process["terminal"] = False
    process.pop("consoleSize", None)
    return process


def with_variables(env: Sequence[str], added: Sequence[str]) -> list[str]:
    """``env`` and the NAME=VALUE of ``added``, which take the place of those of their names."""
    kept = {entry.partition("=")[0]: entry for entry in added}
    return [entry for entry in env if entry.partition("=")[0] not in kept] + list(kept.values())
