"""What the command line adds to the config."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.process.step import Step
    from ociruntime.state.store import Store


class CreateOptions:
    """The options of ``create`` and ``run``; paths are absolute.

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

    def __init__(self, container_id: str, store: Store, bundle: str) -> None:
        self.id = container_id
        self.store = store
        self.bundle = bundle
        self.pid_file: str | None = None
        self.console_socket: str | None = None
        self.console_fd = -1
        self.relayed = False
        self.pidfd_socket: str | None = None
        self.pivot = True
        self.cgroups = True
        self.systemd = ""
        self.new_keyring = True
        self.streams: tuple[int, ...] = ()
        self.preserve_fds = 0
        self.variables: list[str] = []
        self.beginning: list[Step] = []


class ExecOptions:
    """The options of ``exec`` beside the process itself; paths are absolute.

    cgroups are the values of --cgroup (``cgroups.inner``); console_fd is a connected socket for the
    terminal's master when there is no console_socket; relayed as ``CreateOptions``'; streams are
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

    def __init__(self) -> None:
        self.cgroups: list[str] = []
        self.console_fd = -1
        self.console_socket: str | None = None
        self.ignore_paused = False
        self.pid_file: str | None = None
        self.pidfd_socket: str | None = None
        self.preserve_fds = 0
        self.streams: tuple[int, ...] = ()
        self.program = ""
        self.relayed = False
        self.adds_home = True
