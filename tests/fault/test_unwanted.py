"""`delete --force` ends what is done for a container with its lock held, and hangs: in CRIU, or in
a file system that somebody serves, and answers no more.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ociruntime.checkpoint import messages as m
from ociruntime.process.patience import children_of
from tests.fault.test_pairs import Call
from tests.support.patience import PATIENCE

if TYPE_CHECKING:
    from tests.support.bundle import Bundle
    from tests.support.runtime import Runtime

pytestmark = pytest.mark.kernel
MakeBundle = Callable[..., "Bundle"]
# A CRIU that says what it is, and hangs in everything else; it says when it does.
CRIU = """#!{python} -I
import os, time
if os.read(3, 65536) == {question!r}:
    os.write(3, {answer!r})
else:
    open({there!r}, "w").close()
    time.sleep(1000)
"""
VERSION = {"major": 4, "minor": 2, "sublevel": 0}
LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS = 0x20000


def wait_until(holds: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """The file that shows that CRIU has begun, and hangs."""
    return tmp_path / "there"


@pytest.fixture
def criu(tmp_path: Path, there: Path) -> str:
    path = tmp_path / "criu"
    question = m.REQUEST.encode({"type": m.VERSION})
    answer = m.RESPONSE.encode({"type": m.VERSION, "success": True, "version": VERSION})
    path.write_text(
        CRIU.format(python=sys.executable, question=question, answer=answer, there=str(there))
    )
    path.chmod(0o755)
    return str(path)


def test_checkpoint(
    runtime: Runtime, bundle: MakeBundle, tmp_path: Path, criu: str, there: Path
) -> None:
    container = runtime.up(bundle(args=["sleep", "100"]))
    words = ["--criu", criu, "checkpoint", "--image-path", str(tmp_path / "images"), container]
    call = Call(runtime, words, 0)
    wait_until(there.exists, "CRIU is not started")
    runtime.delete(container, "--force").check()
    call.check()
    assert "checkpoint: the container is being deleted by force" in call.log.read_text()
    assert runtime.sandbox.settled_leaks() == []


def test_restore(
    runtime: Runtime, bundle: MakeBundle, tmp_path: Path, criu: str, there: Path
) -> None:
    made = bundle(args=["sleep", "100"]).write()
    images = tmp_path / "images"
    images.mkdir()
    words = ["--criu", criu, "restore", "--image-path", str(images), "--bundle", str(made.path)]
    call = Call(runtime, [*words, made.name], 0)
    wait_until(there.exists, "CRIU is not started")
    runtime.delete(made.name, "--force")  # it may have been taken back before
    call.check()
    assert "restore: the container is being deleted by force" in call.log.read_text()
    assert not runtime.state(made.name).ok
    assert runtime.sandbox.settled_leaks() == []


def mount_in(pid: int, target: str, server: int) -> None:
    """Have a file system that ``server`` (an open /dev/fuse) answers for in the mount namespace of
    ``pid`` (fuse(4)).
    """
    namespace = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY)
    options = f"fd={server},rootmode=40000,user_id=0,group_id=0".encode()

    def is_mounted() -> bool:
        child = os.fork()
        if child == 0:
            entered = LIBC.setns(namespace, CLONE_NEWNS) == 0
            ok = entered and LIBC.mount(b"none", target.encode(), b"fuse", 0, options) == 0
            os._exit(0 if ok else ctypes.get_errno())
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

    # On a loaded machine the kernel has refused it once (EINVAL).
    wait_until(is_mounted, "no file system of somebody else")
    os.close(namespace)


def spaces_of_children(pid: int) -> list[str]:
    """The mount namespaces of the children of a process."""
    found = []
    for child in children_of(pid):
        with contextlib.suppress(OSError):
            found.append(os.readlink(f"/proc/{child}/ns/mnt"))
    return found


@pytest.fixture
def server() -> Iterator[int]:
    """An open /dev/fuse of somebody who never answers."""
    if not os.path.exists("/dev/fuse"):
        pytest.skip("this kernel has no FUSE")
    fd = os.open("/dev/fuse", os.O_RDWR)
    yield fd
    os.close(fd)


def test_mounts_add(runtime: Runtime, bundle: MakeBundle, tmp_path: Path, server: int) -> None:
    """Who looks its place up waits for the server, who is not of this container."""
    made = bundle(args=["sleep", "100"])
    (made.rootfs / "served").mkdir()
    container = runtime.up(made)
    mount_in(runtime.pid(container), "/served", server)
    entry = {"destination": "/served/x", "type": "bind", "source": str(tmp_path)}
    file = tmp_path / "mounts.json"
    file.write_text(json.dumps([{**entry, "options": ["bind"]}]))
    call = Call(runtime, ["mounts", "add", container, str(file)], 0)
    inside = os.readlink(f"/proc/{runtime.pid(container)}/ns/mnt")
    wait_until(lambda: inside in spaces_of_children(call.process.pid), "nobody has entered")
    runtime.delete(container, "--force").check()
    call.check()
    assert "the container is being deleted by force" in call.log.read_text()
    assert runtime.sandbox.settled_leaks() == []
