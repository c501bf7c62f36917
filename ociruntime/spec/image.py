"""A configuration out of an image's: what the OCI image specification's conversion.md says.

Taken are Entrypoint, Cmd, Env, WorkingDir, User and, as annotations, ExposedPorts, StopSignal and
what else conversion.md names. Volumes and Healthcheck are the engine's business.
"""

from __future__ import annotations

import json
import os

from ociruntime.errors import OciError, SpecError
from ociruntime.kernel import constants as c
from ociruntime.kernel.inroot import HostRoot
from ociruntime.kernel.kernel import Kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Config = dict[str, Any]
    Rows = list[list[str]]

PREFIX = "org.opencontainers.image."
# Member of the image's document -> annotation.
ANNOTATIONS = {
    "os": "os",
    "architecture": "architecture",
    "variant": "variant",
    "author": "author",
    "created": "created",
}
# Annotations by which a configuration has this runtime, crun or systemd do something on the host:
# what an image says is its author's word, not the caller's.
RESERVED = ("org.criu.", "org.systemd.property.", "run.oci.")
DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Bytes of /etc/passwd and /etc/group that are read: an image may bring any file.
LONGEST = 1 << 20
RULE = "image-spec: config.md"


def read_image(path: str) -> Config:
    """An image configuration, or what `docker image inspect` and `podman image inspect` print.

    Raises ``SpecError``.
    """
    try:
        with open(path, "rb") as file:
            document = json.load(file)
    except OSError as error:
        raise SpecError(f"--from-image {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise SpecError(f"--from-image {path}: not JSON: {error}") from None
    if isinstance(document, list) and len(document) == 1:
        document = document[0]
    if not isinstance(document, dict):
        raise SpecError(f"--from-image {path}: not an image configuration; {RULE} has its form")
    lower = {name[:1].lower() + name[1:]: value for name, value in document.items()}
    settings = lower.get("config")
    if settings is not None and not isinstance(settings, dict):
        raise SpecError(f"--from-image {path}: config is no object; {RULE}")
    if "layers" in lower and "rootfs" not in lower:
        raise SpecError(
            f"--from-image {path}: this is a manifest; name the file that its config.digest names"
        )
    if settings is None and "rootfs" not in lower and "rootFS" not in lower:
        raise SpecError(f"--from-image {path}: no image configuration: it has no config; {RULE}")
    return lower


def apply_image(config: Config, image: Config, path: str, rootfs: str) -> list[str]:
    """Change ``config`` to what ``image``, read from ``path``, asks for; ``rootfs`` has the names
    of its users. Returns the labels that are left out. Raises ``SpecError``.
    """
    settings: Config = image.get("config") or {}
    taker = _Taker(settings, path)
    process = config["process"]
    args = taker.words("Entrypoint") + taker.words("Cmd")
    if args:
        process["args"] = args
    env = taker.words("Env")
    if env and not any(entry.startswith("PATH=") for entry in env):
        env.insert(0, DEFAULT_PATH)
    if env:
        terminal = [entry for entry in process["env"] if entry.startswith("TERM=")]
        named = any(entry.startswith("TERM=") for entry in env)
        process["env"] = env if named else env + terminal
    process["cwd"] = taker.text("WorkingDir") or "/"
    if not process["cwd"].startswith("/"):
        process["cwd"] = f"/{process['cwd']}"
    process["user"] = _user(taker.text("User"), rootfs, path)
    # As engines have it: images write where they like.
    config["root"]["readonly"] = False
    annotations = {
        PREFIX + name: str(image[member])
        for member, name in ANNOTATIONS.items()
        if image.get(member)
    }
    ports = taker.mapping("ExposedPorts")
    if ports:
        annotations[f"{PREFIX}exposedPorts"] = ",".join(sorted(ports))
    if taker.text("StopSignal"):
        annotations[f"{PREFIX}stopSignal"] = taker.text("StopSignal")
    labels = taker.mapping("Labels")
    unsafe = sorted(name for name in labels if name.startswith(RESERVED))
    for name in ("", *unsafe):
        labels.pop(name, None)
    annotations.update({name: str(value) for name, value in labels.items()})
    if annotations:
        config["annotations"] = {**annotations, **config.get("annotations", {})}
    return unsafe


class _Taker:
    """Members of the image's settings, of the right type; what is null or absent is empty."""

    def __init__(self, settings: Config, path: str) -> None:
        self._settings = settings
        self._path = path

    def text(self, name: str) -> str:
        value = self._settings.get(name) or ""
        if not isinstance(value, str):
            self._refuse(name, "a string")
        return str(value)

    def words(self, name: str) -> list[str]:
        value = self._settings.get(name) or []
        if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
            self._refuse(name, "an array of strings")
        return list(value)

    def mapping(self, name: str) -> Config:
        value = self._settings.get(name) or {}
        if not isinstance(value, dict):
            self._refuse(name, "an object")
        return dict(value)

    def _refuse(self, name: str, wanted: str) -> None:
        raise SpecError(f"--from-image {self._path}: config.{name} is not {wanted}; {RULE}")


def _user(text: str, rootfs: str, path: str) -> Config:
    """``process.user`` of ``user``, ``uid``, ``user:group``, ``uid:gid`` and mixtures."""
    name, colon, group = text.partition(":")
    if not name:
        return {"uid": 0, "gid": 0}
    if _is_id(name) and (not colon or _is_id(group)):
        # Nothing is looked up, so the root filesystem need not be there yet.
        return {"uid": int(name), "gid": int(group) if colon else 0}
    users, groups = _Names(rootfs, path).read()
    uid, gid, login = 0, 0, name
    if _is_id(name):
        uid = int(name)
        row = next((row for row in users if row[2] == name), None)
    else:
        row = _named(users, name, f"--from-image {path}: no user {name!a} in {rootfs}/etc/passwd")
    if row is not None:
        login, uid, gid = row[0], int(row[2]), int(row[3])
    found: Config = {"uid": uid, "gid": gid}
    if colon:
        if _is_id(group):
            found["gid"] = int(group)
        else:
            told = f"--from-image {path}: no group {group!a} in {rootfs}/etc/group"
            found["gid"] = int(_named(groups, group, told)[2])
    else:
        more = [int(row[2]) for row in groups if login in row[3].split(",")]
        if more:
            found["additionalGids"] = sorted(more)
    return found


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdecimal()


def _named(rows: Rows, name: str, otherwise: str) -> list[str]:
    row = next((row for row in rows if row[0] == name), None)
    if row is None:
        raise SpecError(f"{otherwise}; unpack the image there first, or write User as numbers")
    return row


class _Names:
    """The names of a root filesystem, which is not followed out of itself: it is a stranger's."""

    def __init__(self, rootfs: str, path: str) -> None:
        self._rootfs = rootfs
        self._path = path

    def read(self) -> tuple[Rows, Rows]:
        """(users, groups), the lines that are complete."""
        kernel = Kernel()
        try:
            root = kernel.openat(
                c.AT_FDCWD, os.path.abspath(self._rootfs), c.O_PATH | c.O_DIRECTORY
            )
        except OSError as error:
            raise SpecError(
                f"--from-image {self._path}: its User is a name, and {self._rootfs} cannot be "
                f"opened: {error.strerror}; unpack the image there first, or name it with --rootfs"
            ) from None
        try:
            inside = HostRoot(kernel, root)
            users = _rows(kernel, inside, "/etc/passwd", 7)
            groups = _rows(kernel, inside, "/etc/group", 4)
            return [row for row in users if _is_id(row[3])], groups
        finally:
            kernel.close(root)


def _rows(kernel: Kernel, inside: HostRoot, path: str, columns: int) -> Rows:
    """The lines of so many columns whose third one is an id; nothing of what is no regular file."""
    try:
        place = inside.open(path, c.O_PATH)
        try:
            if kernel.stat(place).kind != c.S_IFREG:
                return []
        finally:
            kernel.close(place)
        fd = inside.open(path, c.O_RDONLY | c.O_NONBLOCK | c.O_NOCTTY)
    except (OSError, OciError):
        return []
    try:
        if kernel.stat(fd).kind != c.S_IFREG:
            return []
        raw = kernel.read_whole(fd, LONGEST)
    finally:
        kernel.close(fd)
    lines = raw.decode("utf-8", "surrogateescape").splitlines()
    rows = [line.split(":") for line in lines]
    return [row for row in rows if len(row) >= columns and row[0] and _is_id(row[2])]
