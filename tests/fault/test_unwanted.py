"""`delete --force` ends what is done for a container with its lock held, and hangs: in CRIU, or in
a file system that somebody serves, and answers no more.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
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
# Mounts from the namespace of another process, and serves until its input ends.
SERVER = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
pid, target = sys.argv[1:]
options = b"fd=%d,rootmode=40000,user_id=0,group_id=0" % os.open("/dev/fuse", os.O_RDWR)
child = os.fork()
if child == 0:
    for call, *arguments in (
        (libc.setns, os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY), 0x20000),
        (libc.mount, b"none", target.encode(), b"fuse", 0, options),
    ):
        if call(*arguments):
            sys.exit(f"{call.__name__}: {os.strerror(ctypes.get_errno())}")
    os._exit(0)
if os.waitpid(child, 0)[1] == 0:
    print("mounted", flush=True)
    sys.stdin.read()
"""


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
    container = runtime.up(bundle(args=["sleep", "1000"]))
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
    made = bundle(args=["sleep", "1000"]).write()
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


@contextlib.contextmanager
def served_by_nobody(pid: int, target: str) -> Iterator[None]:
    """A file system in the mount namespace of ``pid`` whose server never answers (fuse(4)).

    The server is a program of its own: this one has run a thousand tests before, and its
    descriptors are not only ours.
    """
    command = [sys.executable, "-I", "-c", SERVER, str(pid), target]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"mounted\n"
        yield


def spaces_of_children(pid: int) -> list[str]:
    """The mount namespaces of the children of a process."""
    found = []
    for child in children_of(pid):
        with contextlib.suppress(OSError):
            found.append(os.readlink(f"/proc/{child}/ns/mnt"))
    return found


@pytest.mark.skipif(not os.path.exists("/dev/fuse"), reason="this kernel has no FUSE")
def test_mounts_add(runtime: Runtime, bundle: MakeBundle, tmp_path: Path) -> None:
    """Who looks its place up waits for the server, who is not of this container."""
    made = bundle(args=["sleep", "1000"])
    (made.rootfs / "served").mkdir()
    container = runtime.up(made)
    entry = {"destination": "/served/x", "type": "bind", "source": str(tmp_path)}
    file = tmp_path / "mounts.json"
    file.write_text(json.dumps([{**entry, "options": ["bind"]}]))
    init = runtime.pid(container)
    with served_by_nobody(init, "/served"):
        call = Call(runtime, ["mounts", "add", container, str(file)], 0)
        inside = os.readlink(f"/proc/{init}/ns/mnt")
        wait_until(lambda: inside in spaces_of_children(call.process.pid), "nobody has entered")
        runtime.delete(container, "--force").check()
        call.check()
    assert "the container is being deleted by force" in call.log.read_text()
    assert runtime.sandbox.settled_leaks() == []
