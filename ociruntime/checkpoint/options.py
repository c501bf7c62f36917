"""What the command lines of checkpoint and restore can ask of CRIU."""

from __future__ import annotations

from ociruntime import hostos as os
from ociruntime.arguments import FLAG, LIST, VALUE
from ociruntime.checkpoint.messages import CGROUP_MODES, NETWORK_LOCKS
from ociruntime.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ociruntime.arguments import Options

DEFAULT_IMAGE_PATH = "checkpoint"
CLONE_NEWNET = 0x40000000
# Of both verbs.
COMMON = {
    "image-path": VALUE,
    "work-path": VALUE,
    "tcp-established": FLAG,
    "tcp-close": FLAG,
    "ext-unix-sk": FLAG,
    "shell-job": FLAG,
    "lazy-pages": FLAG,
    "file-locks": FLAG,
    "manage-cgroups-mode": VALUE,
    "network-lock": VALUE,
    "empty-ns": LIST,
    "auto-dedup": FLAG,
}
CHECKPOINT = {
    **COMMON,
    "parent-path": VALUE,
    "leave-running": FLAG,
    "tcp-skip-in-flight": FLAG,
    "link-remap": FLAG,
    "status-fd": VALUE,
    "page-server": VALUE,
    "pre-dump": FLAG,
}
RESTORE = {
    **COMMON,
    "bundle": VALUE,
    "config": VALUE,
    "console-socket": VALUE,
    "pid-file": VALUE,
    "detach": FLAG,
    "no-subreaper": FLAG,
    "no-pivot": FLAG,
    "preserve-fds": VALUE,
    "lsm-profile": VALUE,
    "lsm-mount-context": VALUE,
}
LSM_KINDS = ("apparmor", "selinux")
# The first one that is sure to know the network lock ``skip``.
KNOWS_SKIP = (4, 0, 0)
PORTS = range(1, 65536)


class CriuOptions:
    """The options that both verbs have.

    image_path, work_path  absolute; the latter None where it is the former
    messages               what goes into CRIU's request as it is
    lazy_pages             also in ``messages``; the feature has to be asked for
    """

    __slots__ = ("image_path", "lazy_pages", "messages", "work_path")

    def __init__(self, options: Options) -> None:
        """Raises ``UsageError``."""
        given = options.text("image-path") or DEFAULT_IMAGE_PATH
        self.image_path = os.path.abspath(given)
        work = options.text("work-path")
        self.work_path = os.path.abspath(work) if work else None
        self.lazy_pages = options.flag("lazy-pages")
        self.messages: dict[str, Any] = {
            name.replace("-", "_"): True
            for name in (
                "tcp-established",
                "tcp-close",
                "ext-unix-sk",
                "shell-job",
                "lazy-pages",
                "file-locks",
                "auto-dedup",
            )
            if options.flag(name)
        }
        self.messages["manage_cgroups"] = True
        self.messages["manage_cgroups_mode"] = _word(options, "manage-cgroups-mode", CGROUP_MODES)
        if options.text("network-lock"):
            self.messages["network_lock"] = _word(options, "network-lock", NETWORK_LOCKS)
        for name in options.texts("empty-ns"):
            if name != "network":
                raise UsageError(f"--empty-ns {name}: only the network namespace can be left empty")
        # Devices, addresses and routes are the engine's: it has made them by a hook, or will.
        self.messages["empty_ns"] = CLONE_NEWNET


    def for_version(self, version: tuple[int, int, int]) -> dict[str, Any]:
        """The messages for a CRIU of this version. Where no TCP connection is taken along, nothing
        has to be held: executing iptables for that is a tenth of a second, several times.
        """
        if version < KNOWS_SKIP or "tcp_established" in self.messages:
            return self.messages
        return {"network_lock": NETWORK_LOCKS["skip"], **self.messages}


class CheckpointOptions(CriuOptions):
    """Those of checkpoint.

    parent_path    relative to ``image_path``, or None
    leave_running, pre_dump
    status_fd      -1 for none
    """

    __slots__ = ("leave_running", "parent_path", "pre_dump", "status_fd")

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.leave_running = options.flag("leave-running")
        self.pre_dump = options.flag("pre-dump")
        self.parent_path = options.text("parent-path")
        for name in ("leave-running", "tcp-skip-in-flight", "link-remap"):
            if options.flag(name):
                self.messages[name.replace("-", "_")] = True
        if self.parent_path is not None and self.parent_path.startswith("/"):
            raise UsageError(
                f"--parent-path {self.parent_path}: --parent-path must be relative to --image-path"
            )
        self.status_fd = -1
        if options.text("status-fd") not in (None, "-1"):
            self.status_fd = options.number("status-fd")
            _check_writable(self.status_fd)
        server = options.text("page-server")
        if server is not None:
            self.messages["ps"] = _page_server(server)


class RestoreOptions(CriuOptions):
    """Those of restore that are CRIU's."""

    __slots__ = ()

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        profile = options.text("lsm-profile")
        if profile is not None:
            kind, colon, name = profile.partition(":")
            if kind not in LSM_KINDS or not colon or not name:
                raise UsageError(
                    f"--lsm-profile {profile}: give apparmor:PROFILE or selinux:CONTEXT"
                )
            self.messages["lsm_profile"] = profile
        context = options.text("lsm-mount-context")
        if context is not None:
            self.messages["lsm_mount_context"] = context


def _word(options: Options, name: str, words: dict[str, int]) -> int:
    """The number of the option's value, of the word ``soft`` where it has none."""
    given = options.text(name) or "soft"
    if given not in words:
        raise UsageError(f"--{name} {given}: use {', '.join(words)}")
    return words[given]


def _page_server(text: str) -> dict[str, Any]:
    address, _, port = text.rpartition(":")
    if not address or not port.isdecimal() or int(port) not in PORTS:
        raise UsageError(f"--page-server {text}: use --page-server ADDRESS:PORT")
    return {"address": address.removeprefix("[").removesuffix("]"), "port": int(port)}


def _check_writable(fd: int) -> None:
    try:
        os.write(fd, b"")
    except OSError:
        raise UsageError(f"--status-fd {fd}: it is not open for writing") from None
