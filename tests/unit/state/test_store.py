"""The state directory: claims, locks, atomic writes (state/)."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import pytest

from ociruntime import hostos
from ociruntime.errors import AlreadyExists, NotFound, StateError, UsageError
from ociruntime.kernel.kernel import Kernel
from ociruntime.kernel.pids import is_alive, open_process, start_time
from ociruntime.state.ids import check_id
from ociruntime.state.store import TEMPORARY, DamagedStateError, Store
from tests.support.patience import PATIENCE

DATA = {"status": "creating", "pid": 0, "start_time": 0, "maker": {"pid": 1, "start_time": 1}}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "deep/root"))


def test_claim(store: Store, tmp_path: Path) -> None:
    container = store.claim("one")
    container.data = {**DATA, "x": "ä"}
    container.save()
    assert store.open("one").data == container.data
    assert store.ids() == ["one"]
    assert (tmp_path / "deep/root/one").stat().st_mode & 0o777 == 0o711


def test_second_claim(store: Store) -> None:
    first = store.claim("one")
    with pytest.raises(AlreadyExists, match="container with given ID already exists"):
        store.claim("one")
    first.remove()
    store.claim("one")


def test_missing(store: Store) -> None:
    with pytest.raises(NotFound, match="container does not exist"):
        store.open("one")
    assert store.ids() == []


def test_lock_is_exclusive(store: Store) -> None:
    holder = store.claim("one")
    whose = rf"is busy: another command \(process {os.getpid()}\) has been at work"
    with pytest.raises(StateError, match=whose):
        store.open_locked("one", 0.02)
    assert not holder.why_unwanted()
    holder.unlock()
    other = store.open_locked("one", 0.02)
    other.close()
    holder.lock(0.02)


def test_who_insists_is_heard(store: Store) -> None:
    """As long as he waits: a container that one has given up to delete is no unwanted one."""
    holder, other = store.claim("one"), store.open("one")
    waiting = threading.Thread(target=lambda: other.lock(PATIENCE, insist=True))
    waiting.start()
    while not holder.why_unwanted():
        time.sleep(0.001)
    holder.unlock()
    waiting.join()
    other.unlock()
    holder.lock(0.02)
    with pytest.raises(StateError, match="busy"):
        store.open("one").ready(0.02, insist=True)
    assert not holder.why_unwanted()
    holder.remove()
    assert store.ids() == []


def test_lock_of_a_deleted_container(store: Store) -> None:
    """Who waited while another command deleted it finds nothing, not a ghost."""
    holder = store.claim("one")
    late = store.open("one")
    holder.remove()
    holder.close()
    with pytest.raises(NotFound):
        late.lock(1)


def test_save_is_atomic(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A save that fails half-way leaves the old state."""
    container = store.claim("one")
    container.data = {**DATA, "n": 1}
    container.save()

    def no_rename(*_args: object, **_how: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(hostos, "rename", no_rename)
    monkeypatch.setattr(Kernel, "exchange", no_rename)
    container.data = {**DATA, "n": 2}
    with pytest.raises(OSError, match="No space"):
        container.save()
    assert store.open("one").data == {**DATA, "n": 1}
    monkeypatch.undo()
    container.remove()
    assert store.ids() == []


@pytest.mark.parametrize("lengths", [(1, 1000, 10), (1000, 1000, 1), (5, 5, 5)])
def test_a_file_has_what_was_written_last(store: Store, lengths: tuple[int, ...]) -> None:
    container = store.claim("one")
    for number, length in enumerate(lengths):
        container.write("file", bytes([number]) * length)
        assert container.read("file") == bytes([number]) * length


def test_a_file_is_never_emptied(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was emptied costs a file system that allocates late a search for blocks at each save."""
    container = store.claim("one")
    container.data = dict(DATA)
    opened = hostos.open

    def open_(path: str, flags: int, *arguments: int, **how: int) -> int:
        assert not flags & hostos.O_TRUNC
        return opened(path, flags, *arguments, **how)

    monkeypatch.setattr(hostos, "open", open_)
    for _ in range(3):
        container.save()


def test_the_version_before_is_kept(store: Store) -> None:
    container = store.claim("one")
    for number in (1, 2, 3):
        container.data = {**DATA, "n": number}
        container.save()
    container.load()
    assert container.data["n"] == 3
    container.load(TEMPORARY)
    assert container.data["n"] == 2


def test_any_change_is_found(store: Store) -> None:
    """One byte of state.json is another, or the rest of it is missing."""
    container = store.claim("one")
    container.data = dict(DATA)
    container.save()
    raw = container.read("state.json")
    for index in range(len(raw)):
        for damaged in (raw[:index], raw[:index] + bytes([raw[index] ^ 1]) + raw[index + 1 :]):
            container.write("state.json", damaged)
            with pytest.raises(DamagedStateError):
                container.load()


def test_another_containers_state(store: Store) -> None:
    one, two = store.claim("one"), store.claim("two")
    for container in (one, two):
        container.data = dict(DATA)
        container.save()
    two.write("state.json", one.read("state.json"))
    with pytest.raises(DamagedStateError):
        two.load()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pid", "7"),
        ("pid", True),
        ("pid", None),
        ("hooks", {}),
        ("hooks", [1]),
        ("namespaces", "pid"),
        ("annotations", {"a": 1}),
        ("cgroup", {"paths": {"": "/a"}, "mountpoints": {}, "existing": {}}),
        ("cgroup", []),
        ("pid_file", 7),
        ("rdt", []),
        ("maker", 1),
    ],
)
def test_state_of_an_older_version(store: Store, name: str, value: object) -> None:
    """It has no checksum: what it says has the right form at least."""
    container = store.claim("one")
    container.write("state.json", json.dumps(DATA).encode())
    container.load()
    assert container.data == DATA
    container.write("state.json", json.dumps({**DATA, name: value}).encode())
    with pytest.raises(DamagedStateError):
        container.load()


def test_stored_configuration(store: Store) -> None:
    container = store.claim("one")
    container.data = dict(DATA)
    container.store_config(b'{"hooks": {}}')
    container.save()
    assert store.open("one").config() == {"hooks": {}}
    for damaged in (b"", b'{"hooks": 1}'):
        container.write("config.json", damaged)
        with pytest.raises(DamagedStateError, match=r"config\.json"):
            store.open("one").config()


def test_half_made(store: Store) -> None:
    """Killed before the first save: there is a container, without data."""
    store.claim("one").close()
    assert store.open("one").data == {}


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"status": "created"}', '{"pid": "7"}'])
def test_damaged_state(store: Store, text: str) -> None:
    """It is told, with the cure; nothing is guessed."""
    store.claim("one").write("state.json", text.encode())
    with pytest.raises(StateError, match=r"damaged.*delete --force one"):
        store.open("one")


def test_foreign_file_is_kept(store: Store, tmp_path: Path) -> None:
    container = store.claim("one")
    (tmp_path / "deep/root/one/mine").write_text("x")
    with pytest.raises(StateError, match="remove what is in it by hand"):
        container.remove()


def test_root_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "root").write_text("")
    with pytest.raises(StateError):
        Store(str(tmp_path / "root")).claim("one")


def test_symlink_is_no_container(store: Store, tmp_path: Path) -> None:
    store.claim("one").close()
    (tmp_path / "deep/root/two").symlink_to(tmp_path)
    with pytest.raises(StateError):
        store.open("two")
    assert store.ids() == ["one"]


def test_config_is_kept(store: Store) -> None:
    container = store.claim("one")
    container.write("config.json", b'{"ociVersion": "1.0.0"}')
    assert container.config() == {"ociVersion": "1.0.0"}


@pytest.mark.parametrize("text", ["a", "A-b_c+d.e", "0", "x" * 255, "-x", "_x"])
def test_id(text: str) -> None:
    assert check_id(text) == text


@pytest.mark.parametrize("text", ["", ".", "..", ".x", "a/b", "a b", "ä", "a\n", "a\0", "x" * 256])
def test_bad_id(text: str) -> None:
    with pytest.raises(UsageError):
        check_id(text)


def test_start_time() -> None:
    own = start_time(os.getpid())
    assert own > 0
    assert is_alive(os.getpid(), own)
    assert not is_alive(os.getpid(), own + 1)
    assert not is_alive(0, own)
    assert start_time(1 << 23) == 0


def test_zombie_is_dead() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert start_time(pid) == 0
    assert open_process(pid, 1) == -1
    os.waitpid(pid, 0)


def test_open_process() -> None:
    pidfd = open_process(os.getpid(), start_time(os.getpid()))
    assert pidfd >= 0
    os.close(pidfd)
    assert open_process(os.getpid(), 1) == -1
    assert open_process(0, 0) == -1
