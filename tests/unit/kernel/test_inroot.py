"""Paths inside a root, on the recorder (kernel/inroot.py)."""

from __future__ import annotations

import pytest

from ociruntime.kernel import constants as c
from ociruntime.kernel.inroot import InRoot, components, remove_stubs
from ociruntime.kernel.mountfd import new_filesystem
from ociruntime.kernel.recorder import Recorder

DIRECTORY = c.O_PATH | c.O_DIRECTORY


@pytest.fixture
def inside() -> InRoot:
    recorder = Recorder()
    recorder.add("/outside/secret", c.S_IFREG | 0o644)
    recorder.add("/r/dir/file", c.S_IFREG | 0o644, b"text")
    links = {"abs": "/dir", "up": "../../outside", "loop": "loop", "dangling": "/nowhere/x"}
    for name, target in links.items():
        recorder.add(f"/r/{name}", c.S_IFLNK | 0o777, target.encode())
    recorder.mark()
    return InRoot(recorder, recorder.open("/r", DIRECTORY))


def recorder_of(inside: InRoot) -> Recorder:
    assert isinstance(inside.kernel, Recorder)
    return inside.kernel


@pytest.mark.parametrize(
    "path", ["/dir/file", "dir/file", "/abs/file", "/../dir//./file", "abs/../dir/file"]
)
def test_found(inside: InRoot, path: str) -> None:
    assert inside.kernel.stat(inside.find(path)).size == 4


@pytest.mark.parametrize("path", ["/up/secret", "/../outside/secret", "/dangling", "/dir/file/x"])
def test_not_found(inside: InRoot, path: str) -> None:
    """Nothing leads out of the root."""
    with pytest.raises((FileNotFoundError, NotADirectoryError)):
        inside.find(path)


def test_symlink_loop(inside: InRoot) -> None:
    with pytest.raises(OSError, match="symbolic links"):
        inside.find("/loop")


def test_symlink_itself(inside: InRoot) -> None:
    assert inside.kernel.stat(inside.find_nofollow("/loop")).kind == c.S_IFLNK


def test_directories_are_made_and_taken_away(inside: InRoot) -> None:
    inside.directory("/a/b/c")
    inside.file("/a/file")
    inside.directory("/dir/d")
    assert [stub.path for stub in inside.made] == ["a", "a/b", "a/b/c", "a/file", "dir/d"]
    remove_stubs(inside.kernel, inside.root, inside.made)
    assert recorder_of(inside).left() == []


def test_existing_is_not_ours(inside: InRoot) -> None:
    inside.directory("/dir")
    inside.file("/abs/file")
    assert inside.made == []


def test_used_stub_stays(inside: InRoot) -> None:
    """What got content meanwhile is somebody's."""
    inside.file("/dir/new")
    fd = inside.open("/dir/new", c.O_WRONLY)
    inside.kernel.write_all(fd, b"x")
    remove_stubs(inside.kernel, inside.root, inside.made)
    inside.find("/dir/new")


def test_exchanged_stub_stays(inside: InRoot) -> None:
    inside.file("/dir/new")
    directory = inside.find("/dir")
    inside.kernel.unlinkat(directory, "new")
    inside.kernel.close(inside.kernel.openat(directory, "new", c.O_CREAT | c.O_WRONLY, 0o600))
    remove_stubs(inside.kernel, inside.root, inside.made)
    inside.find("/dir/new")


@pytest.mark.parametrize(
    ("path", "made"),
    [
        ("/dangling", ["/r/nowhere", "/r/nowhere/x"]),
        ("/dangling/a", ["/r/nowhere", "/r/nowhere/x", "/r/nowhere/x/a"]),
        ("/up/new", ["/r/outside", "/r/outside/new"]),
        ("/chain", ["/r/nowhere", "/r/nowhere/x"]),
        ("/back", ["/r/dir/y"]),
        ("/no/../dir/no/../y", ["/r/dir/y"]),
        ("/no/../../../y", ["/r/y"]),
    ],
)
@pytest.mark.parametrize("kind", ["directory", "file", "node"])
def test_a_link_to_something_missing(
    inside: InRoot, path: str, made: list[str], kind: str
) -> None:
    """What it leads to is made, inside the root; and taken away again."""
    recorder = recorder_of(inside)
    recorder.add("/r/chain", c.S_IFLNK | 0o777, b"abs/../dangling")
    recorder.add("/r/back", c.S_IFLNK | 0o777, b"/dir/no/../y")
    recorder.mark()
    if kind == "directory":
        inside.directory(path)
    elif kind == "file":
        inside.file(path)
    else:
        inside.node(path, lambda *place: make_fifo(inside, *place))
    assert sorted(entry.removeprefix("new disk 1: ") for entry in recorder.left()) == made
    remove_stubs(inside.kernel, inside.root, inside.made)
    assert recorder.left() == []


def make_fifo(inside: InRoot, directory: int, name: str, path: str) -> int:
    inside.kernel.mknodat(directory, name, c.S_IFIFO | 0o600, 0)
    inside.remember(directory, name, path, directory=False)
    return -1


def test_a_link_to_something_missing_is_not_followed(inside: InRoot) -> None:
    with pytest.raises(OSError, match="symbolic links"):
        inside.directory("/dangling/x", follow=False)
    assert recorder_of(inside).left() == []


def test_links_to_something_missing_have_an_end(inside: InRoot) -> None:
    """As many as the kernel follows, wherever each of them leads."""
    recorder = recorder_of(inside)
    for number in range(60):
        target = f"/link{number + 1}/gone"
        recorder.add(f"/r/link{number}", c.S_IFLNK | 0o777, target.encode())
    recorder.mark()
    with pytest.raises(OSError, match="symbolic links"):
        inside.directory("/link0")
    assert recorder.left() == []


def test_a_link_that_comes_while_its_parents_are_made(
    inside: InRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who shares the rootfs puts a symlink where a directory is about to be made."""
    recorder = recorder_of(inside)
    mkdirat = inside.kernel.mkdirat

    def first_a_link(directory: int, name: str, mode: int) -> None:
        if name == "b" and not any(call.name == "symlinkat" for call in recorder.calls):
            inside.kernel.symlinkat("../../../../outside/c", directory, "b")
        mkdirat(directory, name, mode)

    monkeypatch.setattr(inside.kernel, "mkdirat", first_a_link)
    inside.directory("/a/b/d")
    inside.open("/outside/c/d", c.O_PATH | c.O_DIRECTORY)
    with pytest.raises(FileNotFoundError):
        inside.kernel.open("/outside/c", c.O_PATH)


def test_stub_that_cannot_be_noted(inside: InRoot) -> None:
    recorder = recorder_of(inside)
    calls = len(recorder.calls)
    inside.directory("/probe")
    stat = next(i for i in range(calls, len(recorder.calls)) if recorder.calls[i].name == "statx")
    recorder.mark()
    recorder.fail_at = len(recorder.calls) + stat - calls
    with pytest.raises(OSError, match="Input/output"):
        inside.directory("/other")
    assert recorder.left() == []


@pytest.mark.parametrize("path", ["/", "", ".", "//", "/dir/.."])
def test_no_last_component(inside: InRoot, path: str) -> None:
    with pytest.raises(OSError, match="no last component"):
        inside.parent(path)


def test_components() -> None:
    assert components("//a/./b/../c/") == ["a", "b", "..", "c"]


def attached(inside: InRoot, filesystem: str, destination: str) -> None:
    """Mount a new filesystem on `destination` and pin it there."""
    kernel = inside.kernel
    mount = new_filesystem(kernel, filesystem, filesystem, [])
    kernel.move_mount(mount, inside.directory(destination))
    inside.pin(destination, mount)


def test_pinned_mount_is_found_where_it_is(inside: InRoot) -> None:
    """The directory below it is another one by now, and what the path says is not the procfs."""
    attached(inside, "proc", "//proc/.")
    inside.kernel.renameat(inside.root, "proc", "moved")
    inside.directory("/proc")
    assert inside.kernel.filesystem(inside.find("/proc")) != c.PROC_SUPER_MAGIC
    assert inside.kernel.filesystem(inside.find_pinned("/proc/")) == c.PROC_SUPER_MAGIC


@pytest.mark.parametrize("over", ["/proc", "proc//"])
def test_what_lies_over_a_pinned_mount_hides_it(inside: InRoot, over: str) -> None:
    attached(inside, "proc", "/proc")
    inside.pin(over, new_filesystem(inside.kernel, "tmpfs", "tmpfs", []))
    assert inside.pinned == {}


@pytest.mark.parametrize("beside", ["/pro", "/proc/fs", "/processes"])
def test_what_lies_beside_a_pinned_mount_does_not_hide_it(inside: InRoot, beside: str) -> None:
    attached(inside, "proc", "/proc")
    inside.pin(beside, new_filesystem(inside.kernel, "tmpfs", "tmpfs", []))
    assert list(inside.pinned) == ["/proc"]


class Raced(InRoot):
    """Somebody else makes each file a moment before."""

    def create(self, directory: int, name: str, mode: int, path: str) -> int:
        self.kernel.close(super().create(directory, name, mode, path))
        self.made.clear()  # it is not ours
        return super().create(directory, name, mode, path)


def test_a_file_that_another_container_made_first(inside: InRoot) -> None:
    """Two containers that share a rootfs both find no file to mount on."""
    raced = Raced(inside.kernel, inside.root)
    assert raced.kernel.stat(raced.file("/dir/new")).kind == c.S_IFREG
    assert raced.made == []
