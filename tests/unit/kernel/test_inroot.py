"""Paths inside a root (kernel/inroot.py): by oci-setup in a directory of this machine, and by its
emulator on the recorder, which have to agree.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from ociruntime.errors import OciError, StepError
from ociruntime.kernel import constants as c
from ociruntime.kernel import program as p
from ociruntime.kernel.inroot import InRoot, components, remove_stubs
from ociruntime.kernel.inside import Inside
from ociruntime.kernel.kernel import Kernel
from ociruntime.process.run import Run
from tests.support.model.emulator import Emulator, emulated
from tests.support.model.files import refusal
from tests.support.model.recorder import Recorder
from tests.support.setup import oci_setup

DIRECTORY = c.O_PATH | c.O_DIRECTORY
LINKS = {
    "abs": "/dir",
    "up": "../../outside",
    "loop": "loop",
    "dangling": "/nowhere/x",
    "chain": "abs/../dangling",
    "back": "/dir/no/../y",
}


class Model:
    """The root is /r of a recorder."""

    top = "/r"

    def __init__(self) -> None:
        self.kernel = self.recorder = Recorder()
        self.run = emulated(self.recorder)
        self.inner = self.run.inner

    def add(self, path: str, mode: int = c.S_IFDIR | 0o755, content: bytes = b"") -> None:
        self.recorder.add(path, mode, content)

    def tree(self) -> set[str]:
        return {path for path, _ in self.recorder.host.namespace.root.walk()}


class Native:
    """It is a directory of this machine."""

    def __init__(self, directory: Path, run: Run, inner: Inside) -> None:
        self.kernel = Kernel()
        self.directory = directory
        self.top = str(directory / "r")
        self.run = run
        self.inner = inner

    def add(self, path: str, mode: int = c.S_IFDIR | 0o755, content: bytes = b"") -> None:
        place = Path(path) if path.startswith(self.top) else self.directory / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        if stat.S_ISLNK(mode):
            place.symlink_to(content.decode())
        elif stat.S_ISDIR(mode):
            place.mkdir()
        else:
            place.write_bytes(content)

    def tree(self) -> set[str]:
        found = set()
        for above, directories, files in os.walk(self.directory):
            found |= {f"{above}/{name}" for name in (*directories, *files)}
        return {path.removeprefix(str(self.directory)) for path in found}


Backend = Model | Native


@pytest.fixture(params=["model", "native"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    if request.param == "model":
        yield Model()
        return
    run = Run(Kernel(), [])
    with oci_setup(run) as inner:
        yield Native(tmp_path, run, inner)


@pytest.fixture
def model() -> Model:
    return Model()


def inside_of(backend: Backend) -> InRoot:
    backend.add("/outside/secret", c.S_IFREG | 0o644)
    backend.add(f"{backend.top}/dir/file", c.S_IFREG | 0o644, b"text")
    for name, target in LINKS.items():
        backend.add(f"{backend.top}/{name}", c.S_IFLNK | 0o777, target.encode())
    return InRoot(backend.inner, backend.inner.open(backend.top, DIRECTORY))


@pytest.fixture
def inside(backend: Backend) -> InRoot:
    return inside_of(backend)


def taken_away(backend: Backend) -> None:
    root = backend.kernel.open(backend.top, DIRECTORY)
    remove_stubs(backend.kernel, root, backend.run.stubs)
    backend.kernel.close(root)


def made(backend: Backend) -> list[str]:
    backend.inner.carry_out()
    return [stub.path.strip("/") for stub in backend.run.stubs]


@pytest.mark.parametrize(
    "path", ["/dir/file", "dir/file", "/abs/file", "/../dir//./file", "abs/../dir/file"]
)
def test_found(inside: InRoot, path: str) -> None:
    assert inside.kernel.stat(inside.find(path)).size == 4


@pytest.mark.parametrize("path", ["/up/secret", "/../outside/secret", "/dangling", "/dir/file/x"])
def test_not_found(inside: InRoot, path: str) -> None:
    """Nothing leads out of the root."""
    with pytest.raises((FileNotFoundError, NotADirectoryError)), inside.kernel.at_once():
        inside.find(path)


def test_symlink_loop(inside: InRoot) -> None:
    with pytest.raises(OSError, match="symbolic links"), inside.kernel.at_once():
        inside.find("/loop")


def test_symlink_itself(inside: InRoot) -> None:
    found = inside.open("/loop", c.O_PATH | c.O_NOFOLLOW)
    assert inside.kernel.stat(found).kind == c.S_IFLNK
    assert inside.kernel.stat(inside.itself("/loop", directory=False)).kind == c.S_IFLNK


def test_the_root_itself(inside: InRoot) -> None:
    for path in ("/", "", ".", "/dir/.."):
        fd = inside.directory(path)
        assert inside.kernel.stat(fd).ino == inside.kernel.stat(inside.root).ino


def test_directories_are_made_and_taken_away(backend: Backend, inside: InRoot) -> None:
    before = backend.tree()
    inside.directory("/a/b/c")
    inside.file("/a/file")
    inside.directory("/dir/d")
    inside.itself("/e/f", directory=True)
    inside.itself("/e/g", directory=False)
    inside.symlink("/e/link", "anywhere")
    assert made(backend) == [
        *("a", "a/b", "a/b/c", "a/file", "dir/d", "e", "e/f", "e/g", "e/link"),
    ]
    taken_away(backend)
    assert backend.tree() == before


def test_existing_is_not_ours(backend: Backend, inside: InRoot) -> None:
    inside.directory("/dir")
    inside.file("/abs/file")
    inside.itself("/dir/file", directory=False)
    inside.symlink("/dir/file", "anywhere")
    assert made(backend) == []


def test_a_symlink_is_replaced(backend: Backend, inside: InRoot) -> None:
    inside.symlink("/abs", "/elsewhere", p.REPLACES)
    inside.symlink("/up", "../../outside", p.REPLACES)
    assert made(backend) == ["abs"], "the other one is as it should be"
    link = inside.open("/abs", c.O_PATH | c.O_NOFOLLOW)
    assert inside.kernel.readlinkat(link, "") == "/elsewhere"


def test_used_stub_stays(backend: Backend, inside: InRoot) -> None:
    """What got content meanwhile is somebody's."""
    inside.file("/dir/new")
    inside.kernel.write_all(inside.open("/dir/new", c.O_WRONLY), b"x")
    taken_away(backend)
    inside.find("/dir/new")
    inside.kernel.carry_out()


def test_exchanged_stub_stays(backend: Backend, inside: InRoot) -> None:
    inside.file("/dir/new")
    directory = inside.find("/dir")
    inside.kernel.invoke("unlinkat", directory, b"new", 0)
    flags = c.O_CREAT | c.O_WRONLY
    inside.kernel.close(inside.kernel.openat(directory, "other", flags, 0o600))
    inside.kernel.close(inside.kernel.openat(directory, "new", flags, 0o600))
    inside.kernel.carry_out()
    taken_away(backend)
    inside.find("/dir/new")
    inside.kernel.carry_out()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/dangling", ["/r/nowhere", "/r/nowhere/x"]),
        ("/dangling/a", ["/r/nowhere", "/r/nowhere/x", "/r/nowhere/x/a"]),
        ("/up/new", ["/r/outside", "/r/outside/new"]),
        ("/chain", ["/r/nowhere", "/r/nowhere/x"]),
        ("/back", ["/r/dir/y"]),
        ("/no/../dir/no/../y", ["/r/dir/y"]),
        ("/no/../../../y", ["/r/y"]),
        ("/a//./b/", ["/r/a", "/r/a/b"]),
    ],
)
@pytest.mark.parametrize("kind", ["directory", "file", "node"])
def test_a_link_to_something_missing(
    backend: Backend, inside: InRoot, path: str, expected: list[str], kind: str
) -> None:
    """What it leads to is made, inside the root; and taken away again."""
    before = backend.tree()
    if kind == "directory":
        inside.directory(path)
    elif kind == "file":
        inside.file(path)
    else:
        # Where it is made is where it may be.
        place = os.fsencode(expected[-1].removeprefix("/r/"))
        numbers = c.S_IFIFO | 0o600, 0, 0, 0
        inside.kernel.queue(p.DEVICE, inside.root, os.fsencode(path), place, *numbers)
    inside.kernel.carry_out()
    assert sorted(backend.tree() - before) == expected
    taken_away(backend)
    assert backend.tree() == before


@pytest.mark.parametrize("path", ["/dangling/x", "/abs/x", "/loop"])
def test_a_link_is_not_followed(backend: Backend, inside: InRoot, path: str) -> None:
    inside.kernel.carry_out()
    before = backend.tree()
    with pytest.raises(OSError, match="symbolic links"), inside.kernel.at_once():
        inside.directory(path, making=p.NO_SYMLINKS)
    assert backend.tree() == before


def test_links_to_something_missing_have_an_end(backend: Backend) -> None:
    """As many as the kernel follows, wherever each of them leads."""
    for number in range(60):
        target = f"/link{number + 1}/gone"
        backend.add(f"{backend.top}/link{number}", c.S_IFLNK | 0o777, target.encode())
    inside = inside_of(backend)
    before = backend.tree()
    with pytest.raises(OSError, match="symbolic links"), inside.kernel.at_once():
        inside.directory("/link0")
    assert backend.tree() == before


@pytest.mark.parametrize("path", ["/" + "a/" * 4096 + "b", "/" + "x" * 300])
def test_too_long(inside: InRoot, path: str) -> None:
    if isinstance(inside.kernel.channel, Emulator):
        return  # the model has no such limits
    with pytest.raises(OSError, match="too long"), inside.kernel.at_once():
        inside.directory(path)


@pytest.mark.parametrize("path", ["/", "", ".", "//", "/dir/..", "/missing/.."])
def test_no_last_component(inside: InRoot, path: str) -> None:
    with pytest.raises(OSError, match="no last component"):
        inside.parent(path)
    for make in (p.FILE, p.ITSELF, p.SYMLINK, p.DEVICE):
        if make == p.FILE and path != "/missing/..":
            continue  # it is there
        name = os.fsencode(path)
        with pytest.raises(OSError, match="Invalid"), inside.kernel.at_once():
            inside.kernel.queue(make, inside.root, name, name, name, c.S_IFIFO, 0, 0, 0)


def test_what_is_there_is_not_the_device(inside: InRoot) -> None:
    for path, why in (("/dir/file", p.NOT_IT), ("/dir", p.NOT_IT)):
        seen: list[int] = []

        def explain(number: int, value: int, _: bytes, seen: list[int] = seen) -> OSError:
            seen.append(value)
            return refusal(number)

        name = os.fsencode(path)
        place = os.fsencode(path.strip("/"))
        with pytest.raises(FileExistsError), inside.kernel.at_once():
            inside.kernel.queue(
                *(p.DEVICE, inside.root, name, place, c.S_IFCHR, 259, 0, 0),
                explain=explain,
            )
        assert seen == [why]


def test_programs(backend: Backend, inside: InRoot) -> None:
    backend.add(f"{backend.top}/bin/tool", c.S_IFREG | 0o644)
    answers = {}
    for path in ("/bin/tool", "/bin", "/bin/absent", "/bin/tool/x", "/loop"):
        number = 0
        try:
            inside.kernel.ask(p.PROGRAM, inside.root, os.fsencode(path))
        except OSError as error:
            number = error.errno or 0
        answers[path] = os.strerror(number)
    assert list(answers.values()) == [
        "Permission denied", "Is a directory", "No such file or directory", "Not a directory",
        "Too many levels of symbolic links",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "home"),
    [
        (b"root:x:0:0::/root:/bin/sh\nme:x:1000:1000::/home/me:\n", b"HOME=/home/me"),
        (b"me:x:1000:1000:::\n", b""),
        (b"me:x:10000:1000::/no:\n", b""),
        (b"broken\nx:y:1000\n", b""),
        (b"a:x:1000:1::/first:\nb:x:1000:1::/second:\n", b"HOME=/first"),
        (b"a:x:1000:1::/nu\0l:\n", b""),
        (b"\xff\xfe:x:1000:1::/h\xff:", b"HOME=/h\xff"),
        (b"", b""),
    ],
)
def test_home(backend: Backend, inside: InRoot, text: bytes, home: bytes) -> None:
    assert inside.kernel.ask(p.HOME, inside.root, 1000).text == b"", "there is no passwd"
    backend.add(f"{backend.top}/etc/passwd", c.S_IFREG | 0o644, text)
    assert inside.kernel.ask(p.HOME, inside.root, 1000).text == home


@pytest.mark.parametrize("mode", [c.S_IFIFO | 0o644, c.S_IFDIR | 0o755])
def test_passwd_that_is_no_file(backend: Backend, inside: InRoot, mode: int) -> None:
    """It is not even opened for reading, which would wait."""
    if isinstance(backend, Native) and stat.S_ISFIFO(mode):
        backend.add(f"{backend.top}/etc")
        os.mkfifo(f"{backend.top}/etc/passwd")
    else:
        backend.add(f"{backend.top}/etc/passwd", mode)
    assert inside.kernel.ask(p.HOME, inside.root, 0).text == b""


def test_a_failure_is_its_steps(backend: Backend, inside: InRoot) -> None:
    """What was collected fails when it is carried out; nobody else's ``except`` sees it."""
    inside.find("/missing")
    with pytest.raises(StepError, match="no such file") as caught:
        inside.kernel.stat(inside.root)
    assert caught.value.step == "linux.namespaces", "no step has begun"
    assert inside.kernel.stat(inside.root).kind == c.S_IFDIR, "it goes on"
    assert made(backend) == []


def test_what_is_left_out(backend: Backend, inside: InRoot) -> None:
    kernel = inside.kernel
    first = kernel.position()
    noted: list[int] = []
    kernel.queue(
        *(p.OPEN, inside.root, b"/missing", c.O_PATH, 0), tolerated=(2,), note=noted.append
    )
    inside.directory("/left/out")
    kernel.skip_from(first)
    second = kernel.position()
    kernel.queue(p.KIND, inside.root, c.S_IFDIR, tolerated=(95,), flags=p.ELSE)
    inside.directory("/left/out")
    kernel.skip_from(second)
    inside.directory("/made")
    assert made(backend) == ["made"]
    assert noted == [2]


# What needs mounts, or somebody who interferes, is tried on the model.


def test_components() -> None:
    assert components("//a/./b/../c/") == ["a", "b", "..", "c"]


def test_a_link_that_comes_while_its_parents_are_made(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who shares the rootfs puts a symlink where a directory is about to be made."""
    inside, recorder = inside_of(model), model.recorder
    mkdirat = recorder.mkdirat

    def first_a_link(directory: int, name: str, mode: int) -> None:
        if name == "b" and not any(call.name == "symlinkat" for call in recorder.calls):
            recorder.symlinkat("../../../../outside/c", directory, "b")
        mkdirat(directory, name, mode)

    monkeypatch.setattr(recorder, "mkdirat", first_a_link)
    inside.directory("/a/b/d")
    inside.open("/outside/c/d", c.O_PATH | c.O_DIRECTORY)
    inside.kernel.carry_out()
    with pytest.raises(FileNotFoundError):
        recorder.open("/outside/c", c.O_PATH)


def test_stub_that_cannot_be_noted(model: Model) -> None:
    inside, recorder = inside_of(model), model.recorder
    inside.kernel.carry_out()
    calls = len(recorder.calls)
    inside.directory("/probe")
    inside.kernel.carry_out()
    looked = next(i for i in range(calls, len(recorder.calls)) if recorder.calls[i].name == "statx")
    recorder.mark()
    recorder.fail_at = len(recorder.calls) + looked - calls
    with pytest.raises(OSError, match="Input/output"), inside.kernel.at_once():
        inside.directory("/other")
    assert [line for line in recorder.left() if "process" not in line] == []


def attached(inside: InRoot, filesystem: str, destination: str) -> None:
    """Mount a new filesystem on `destination` and pin it there."""
    mount = inside.kernel.new_filesystem(filesystem, filesystem, [])
    inside.attach(mount, inside.directory(destination), filesystem, destination)
    inside.pin(destination, mount, of_kernel=filesystem == "proc")


def test_pinned_mount_is_found_where_it_is(model: Model) -> None:
    """The directory below it is another one by now, and what the path says is not the procfs."""
    inside = inside_of(model)
    attached(inside, "proc", "//proc/.")
    inside.kernel.invoke("renameat", inside.root, b"proc", inside.root, b"moved")
    inside.directory("/proc")
    assert inside.kernel.filesystem(inside.find("/proc")) != c.PROC_SUPER_MAGIC
    place, rest = inside.pinned_place("/proc/sys//x")
    assert rest == b"sys/x"
    assert inside.kernel.filesystem(place) == c.PROC_SUPER_MAGIC
    assert inside.pinned_place("/proc/../x") == (inside.root, b"/proc/../x")


def test_only_a_procfs_lies_on_proc(model: Model) -> None:
    inside = inside_of(model)
    inside.directory("/proc")
    attached(inside, "tmpfs", "/dir/../proc")
    with pytest.raises(OciError, match="only a proc filesystem"):
        inside.kernel.carry_out()


@pytest.mark.parametrize("over", ["/proc", "proc//"])
def test_what_lies_over_a_pinned_mount_hides_it(model: Model, over: str) -> None:
    inside = inside_of(model)
    attached(inside, "proc", "/proc")
    inside.pin(over, inside.kernel.new_filesystem("tmpfs", "tmpfs", []), of_kernel=False)
    assert inside.pinned == {}


@pytest.mark.parametrize("beside", ["/pro", "/proc/fs", "/processes"])
def test_what_lies_beside_a_pinned_mount_does_not_hide_it(model: Model, beside: str) -> None:
    inside = inside_of(model)
    attached(inside, "proc", "/proc")
    inside.pin(beside, inside.kernel.new_filesystem("tmpfs", "tmpfs", []), of_kernel=False)
    assert list(inside.pinned) == ["/proc"]


def test_a_file_that_another_container_made_first(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two containers that share a rootfs both find no file to mount on."""
    inside, create = inside_of(model), Emulator._create

    def raced(self: Emulator, directory: int, name: str, mode: int, place: str) -> None:
        flags = c.O_CREAT | c.O_EXCL | c.O_WRONLY
        self.recorder.close(self.recorder.openat(directory, name, flags, mode))
        create(self, directory, name, mode, place)

    monkeypatch.setattr(Emulator, "_create", raced)
    assert inside.kernel.stat(inside.file("/dir/new")).kind == c.S_IFREG
    assert made(model) == []
