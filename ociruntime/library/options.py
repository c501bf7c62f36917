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
    """

    ignore_paused: bool


class UpdateOptions(TypedDict, total=False):
    """Of ``update``: as in ``ConfigOptions``."""

    memory: int | str
    cpus: float
    pids: int
