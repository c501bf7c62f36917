"""Keywords of the library's functions, for callers and for type checkers."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from ociruntime.library.streams import Stream

PathLike = str | os.PathLike[str]
Part = Mapping[str, Any] | None


class ConfigOptions(TypedDict, total=False):
    """What a configuration is to be like; of ``Bundle.make``, ``Bundle.temporary`` and
    ``Runtime.bundle``.

    memory   limit of memory: bytes, or text as ``"32M"``
    cpus     limit of CPU time: ``1.5`` is one CPU and a half
    pids     limit of processes
    env      variables that are added
    cwd      the working directory
    user     uid, or (uid, gid)
    terminal  whether the process has a terminal
    net      ``"bridge"``, the name or the file of a network, ``"host"``, ``"none"`` or
             ``"container:ID"``; or several networks
    publish  ports, ``"8080:80"``, ``"127.0.0.1:5353:53/udp"``; needs ``net``

    The others are the members of config.json: objects are merged member by member, anything else is
    replaced, and None removes.
    """

    memory: int | str
    cpus: float
    pids: int
    env: Mapping[str, str]
    cwd: str
    user: int | tuple[int, int]
    terminal: bool
    net: str | Sequence[str]
    publish: str | Sequence[str]
    ociVersion: str
    root: Part
    process: Part
    hostname: str | None
    domainname: str | None
    mounts: Sequence[Mapping[str, Any]] | None
    hooks: Part
    annotations: Mapping[str, str] | None
    linux: Part


class ProcessOptions(TypedDict, total=False):
    """How a process is connected; of ``create``, ``run`` and ``exec``.

    stdin, stdout, stderr  descriptors, files, PIPE, DEVNULL (the default) or (stderr only) STDOUT
    terminal        our end of its terminal is ``Process.terminal``
    preserve_fds    become its descriptors from 3 on
    console_socket  path of a listening socket that gets the terminal's master instead
    pid_file        path of a file that gets its pid
    pidfd_socket    path of a listening socket that gets its pidfd
    """

    stdin: Stream
    stdout: Stream
    stderr: Stream
    terminal: bool
    preserve_fds: Sequence[int]
    console_socket: PathLike
    pid_file: PathLike
    pidfd_socket: PathLike


class CreateOptions(ProcessOptions, total=False):
    """Of ``create`` and ``run``.

    config       path of the configuration, relative to the bundle (config.json)
    pivot        False: no pivot_root(2), for a rootfs on an initramfs
    new_keyring  False: no session keyring of its own
    """

    config: PathLike
    pivot: bool
    new_keyring: bool


class ExecOptions(ProcessOptions, total=False):
    """Of ``exec``.

    ignore_paused  True: in a paused container, wait for its resume
    cgroups        below the container's cgroup, which ones it joins: ``["work"]``, on cgroup v1
                   also for some controllers, ``["cpu,cpuacct:work", "memory:other"]``
    """

    ignore_paused: bool
    cgroups: Sequence[str]


class UpdateOptions(TypedDict, total=False):
    """Of ``update``: as in ``ConfigOptions``."""

    memory: int | str
    cpus: float
    pids: int


class CriuOptions(TypedDict, total=False):
    """Of ``checkpoint`` and ``restore``: what the command line calls ``--work-path`` and so on.

    criu       the program (criu in PATH)
    work_path  where CRIU writes its log (with the images)
    """

    criu: PathLike
    work_path: PathLike
    tcp_established: bool
    tcp_close: bool
    ext_unix_sk: bool
    shell_job: bool
    lazy_pages: bool
    file_locks: bool
    auto_dedup: bool
    manage_cgroups_mode: str
    network_lock: str


class CheckpointOptions(CriuOptions, total=False):
    """Of ``checkpoint``.

    leave_running  True: the container goes on
    pre_dump       True: only memory is written, and the container goes on
    parent_path    images of a pre-dump, relative to the images
    page_server    ``"ADDRESS:PORT"`` that gets the memory
    """

    leave_running: bool
    pre_dump: bool
    parent_path: str
    page_server: str
    tcp_skip_in_flight: bool
    link_remap: bool


class RestoreOptions(CriuOptions, total=False):
    """Of ``restore``.

    stdin, stdout, stderr  descriptors, files or DEVNULL (the default): where streams lead that led
                           out of the container
    """

    stdin: Stream
    stdout: Stream
    stderr: Stream
    console_socket: PathLike
    pid_file: PathLike
    lsm_profile: str
    lsm_mount_context: str
