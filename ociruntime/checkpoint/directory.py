"""The directories of a checkpoint: --image-path, --work-path, and what they may hold.

Images travel, and whoever has packed them may have put anything among them. CRIU opens its files
by name, so before it does, everything in there is looked at: files, of which none is a link that
leads away, and the one link that CRIU itself makes, ``parent``. What we read and write ourselves is
opened without following anything (CVE-2026-53492 and its like).
"""

from __future__ import annotations

import errno

from ociruntime import hostos as os
from ociruntime.errors import OciError
from ociruntime.kernel import constants as c
from ociruntime.kernel.kernel import Kernel

PARENT = "parent"
# A chain of pre-dumps is that long at most.
GENERATIONS = 64
LOG_LIMIT = 1 << 22
LOG_LINES = 3
ERROR = b"Error ("
# What CRIU goes on after: it has no CAP_SYS_RESOURCE.
HARMLESS = b"RLIMIT_NOFILE for self"
MODE = 0o700


def make(path: str, name: str, *, follow: bool = False) -> int:
    """An open descriptor of the directory ``path``, made with what is missing above it.

    ``name`` is the option that it comes from; ``follow`` as ``open_existing`` has it. Raises
    ``OciError``.
    """
    missing = []
    above = path
    while not os.access(above, os.F_OK):
        missing.append(above)
        above = os.path.dirname(above)
    try:
        for part in reversed(missing):
            os.mkdir(part, MODE)
        return open_existing(path, name, follow=follow)
    except OSError as error:
        raise _refused(name, path, error) from None


def open_existing(path: str, name: str, *, follow: bool = False) -> int:
    """An open descriptor of the directory ``path``, which is no symlink itself unless the caller
    may mean one (``follow``): containerd has a link in the bundle for its shim's work.
    """
    flags = c.O_RDONLY | c.O_DIRECTORY | (0 if follow else c.O_NOFOLLOW)
    try:
        return Kernel().open(path, flags)
    except OSError as error:
        raise _refused(name, path, error) from None


def _refused(name: str, path: str, error: OSError) -> OciError:
    why = {
        errno.ENOENT: "there is no such directory",
        errno.ENOTDIR: "it is not a directory, or a symlink to one; name the directory itself",
        errno.ELOOP: "it is a symlink; name the directory itself",
    }.get(error.errno or 0, os.strerror(error.errno or 0).lower())
    return OciError(f"--{name} {path}: {why}")


def check(fd: int, path: str) -> None:
    """Refuse a directory of images with anything in it that leads elsewhere, and those of its
    parents; raises ``OciError``.
    """
    kernel = Kernel()
    here = kernel.dup_above(fd, 3)
    try:
        for _ in range(GENERATIONS):
            if not _check_one(kernel, here, path):
                return
            above = _open_parent(kernel, here, path)
            kernel.close(here)
            here = above
            path = f"{path}/{PARENT}"
        raise OciError(f"{path}: more than {GENERATIONS} generations of images")
    finally:
        kernel.close(here)


def _check_one(kernel: Kernel, fd: int, path: str) -> bool:
    """Whether the directory has a parent."""
    listed = kernel.openat(fd, ".", c.O_RDONLY | c.O_DIRECTORY)
    try:
        names = kernel.names(listed)
    finally:
        kernel.close(listed)
    has_parent = False
    for name in names:
        kind = kernel.stat(fd, name).kind
        if kind == c.S_IFLNK and name == PARENT:
            has_parent = True
        elif kind not in (c.S_IFREG, c.S_IFDIR, c.S_IFSOCK):
            what = "a symlink" if kind == c.S_IFLNK else "no file"
            raise OciError(f"{path}/{name}: it is {what}, which images of a checkpoint never are")
    return has_parent


def _open_parent(kernel: Kernel, fd: int, path: str) -> int:
    """The directory that ``parent`` names: relative, and no further symlink on the way."""
    target = kernel.readlinkat(fd, PARENT)
    if target.startswith("/"):
        raise OciError(f"{path}/{PARENT}: it leads to {target}; a relative path is wanted")
    try:
        resolve = c.RESOLVE_NO_SYMLINKS
        return kernel.openat2(fd, target, c.O_RDONLY | c.O_DIRECTORY, resolve)
    except OSError as error:
        raise OciError(f"{path}/{PARENT} -> {target}: {(error.strerror or '').lower()}") from None


def mirror(kernel: Kernel, images: int, target: int, path: str, generation: int = 0) -> None:
    """Mount each file of the directory ``images``, and of its parents, in the empty directory
    ``target``. Raises ``OciError`` for what is no file by now.
    """
    names = kernel.names(images)
    for name in names:
        if name == PARENT or kernel.stat(images, name).kind != c.S_IFREG:
            continue
        mount = kernel.open_tree(images, name, c.OPEN_TREE_CLONE | c.AT_SYMLINK_NOFOLLOW)
        if kernel.stat(mount).kind != c.S_IFREG:
            raise OciError(f"{path}/{name}: it was exchanged while it was opened")
        kernel.close(kernel.openat(target, name, c.O_CREAT | c.O_EXCL | c.O_WRONLY, 0o600))
        place = kernel.openat(target, name, c.O_PATH | c.O_NOFOLLOW)
        kernel.move_mount(mount, place)
        kernel.close(place)
        kernel.close(mount)
    has_parent = PARENT in names and kernel.stat(images, PARENT).kind == c.S_IFLNK
    if has_parent and generation < GENERATIONS:
        kernel.mkdirat(target, PARENT, 0o711)
        below = kernel.openat(target, PARENT, c.O_RDONLY | c.O_DIRECTORY)
        above = _open_parent(kernel, images, path)
        mirror(kernel, above, below, f"{path}/{PARENT}", generation + 1)
        kernel.close(above)
        kernel.close(below)


def check_parent(fd: int, path: str) -> None:
    """Refuse a --parent-path (relative to the directory ``fd``) that is none, or that has in it
    what ``check`` refuses: CRIU opens those images by name, too.
    """
    try:
        parent = Kernel().openat2(fd, path, c.O_RDONLY | c.O_DIRECTORY, c.RESOLVE_NO_SYMLINKS)
    except OSError as error:
        raise _refused("parent-path", path, error) from None
    try:
        check(parent, path)
    finally:
        os.close(parent)


def clear(fd: int, name: str) -> None:
    """Take away what has the name of a file that CRIU is going to write, whatever it is."""
    try:
        Kernel().unlinkat(fd, name)
    except FileNotFoundError:
        pass


def write(fd: int, name: str, content: bytes) -> None:
    """Write a file of ours, in place of what has its name."""
    clear(fd, name)
    kernel = Kernel()
    flags = c.O_WRONLY | c.O_CREAT | c.O_EXCL | c.O_NOFOLLOW
    file = kernel.openat(fd, name, flags, 0o600)
    try:
        kernel.write_all(file, content)
    finally:
        kernel.close(file)


def read(fd: int, name: str, limit: int) -> bytes:
    """What is in a regular file, at most ``limit`` bytes; nothing where there is no such file."""
    kernel = Kernel()
    try:
        file = kernel.openat(fd, name, c.O_RDONLY | c.O_NOFOLLOW | c.O_NONBLOCK)
    except OSError:
        return b""
    try:
        if kernel.stat(file).kind != c.S_IFREG:
            return b""
        return kernel.read_whole(file, limit)
    finally:
        kernel.close(file)


def first_errors(fd: int, name: str) -> str:
    """The first lines of CRIU's log that say what went wrong: what follows follows from it."""
    text = read(fd, name, LOG_LIMIT)
    lines = [line for line in text.split(b"\n") if ERROR in line and HARMLESS not in line]
    said = [line.partition(b"): ")[2] or line for line in lines[:LOG_LINES]]
    return "; ".join(line.decode("utf-8", "replace").strip() for line in said)
