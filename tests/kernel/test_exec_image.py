"""What exec reads of the image: HOME in its passwd, programs, directories."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.executed import failure_of, output_of, process

if TYPE_CHECKING:
    from tests.support.bundle import Bundle
    from tests.support.runtime import Runtime

MakeBundle = Callable[..., "Bundle"]

# --- HOME -------------------------------------------------------------------------------------

# passwd, HOME of uid 12
PASSWDS = {
    "there": (b"root:x:0:0::/root:/bin/sh\nu:x:12:34:name:/home/u:/bin/sh\n", "/home/u"),
    "no newline": (b"u:x:12:34:name:/home/u", "/home/u"),
    "first of two": (b"a:x:12:34::/one:\nb:x:12:34::/two:\n", "/one"),
    "another uid": (b"u:x:120:34::/home/u:\nv:x:1:2::/v:\nw:x::2::/w:\n", "/"),
    "no home": (b"u:x:12:34:name::/bin/sh\nv:x:12:34::/second:\n", "/second"),
    "too few fields": (b"u:x:12:34:/home/u\n12\n:::::\nu:x:12", "/"),
    "leading zero": (b"u:x:012:34::/home/u:\n", "/"),
    "nul": (b"u:x:12:34::/ho\0me:\n", "/"),
    "spaces": (b"u:x: 12:34::/no:\nu:x:12:34:: /ho me :\n", " /ho me "),
    "bytes": (b"u:x:12:34::/\xff\xc3\xa4:\n", "/\udcff\u00e4"),
    "carriage return": (b"u:x:12:34::/home/u:/bin/sh\r\n", "/home/u"),
    "long lines": (b"#" * 5000 + b"\nu:" + b"x" * 3000 + b":12:34::/home/u:\n", "/home/u"),
    "at the end of the limit": (b"\n" * ((1 << 20) - 20) + b"u:x:12:34::/home/u:\n", "/home/u"),
    "cut by the limit": (b"\n" * ((1 << 20) - 16) + b"u:x:12:34::/home/u:\n", "/home"),
    "behind the limit": (b"\n" * (1 << 20) + b"u:x:12:34::/home/u:\n", "/"),
    "empty": (b"", "/"),
}


@pytest.mark.parametrize("name", PASSWDS)
def test_home(runtime: Runtime, bundle: MakeBundle, name: str) -> None:
    made = bundle(args=["sleep", "100"])
    (made.rootfs / "etc").mkdir(exist_ok=True)
    passwd, home = PASSWDS[name]
    (made.rootfs / "etc" / "passwd").write_bytes(passwd)
    container = runtime.up(made)
    wanted = process("env", user={"uid": 12, "gid": 34})
    assert output_of(runtime, container, wanted) == f"PATH=/bin:/usr/bin\nHOME={home}\n"


def test_home_is_that_of_the_uid(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle(args=["sleep", "100"])
    (made.rootfs / "etc").mkdir(exist_ok=True)
    passwd = PASSWDS["there"][0] + b"big:x:4294967294:1::/big:\n"
    (made.rootfs / "etc" / "passwd").write_bytes(passwd)
    container = runtime.up(made)
    homes = {12: "/home/u\n", 0: "/root\n", 13: "/\n", 4294967294: "/big\n"}
    for uid, home in homes.items():
        user = {"uid": uid, "gid": 34}
        assert output_of(runtime, container, process("sh", "-c", "echo $HOME", user=user)) == home
    given = process(
        "sh", "-c", "echo $HOME", env=["PATH=/bin", "HOME="], user={"uid": 12, "gid": 1}
    )
    assert output_of(runtime, container, given) == "/home/u\n"


@pytest.mark.parametrize("kind", ["fifo", "directory", "loop", "missing", "outside"])
def test_home_with_a_strange_passwd(runtime: Runtime, bundle: MakeBundle, kind: str) -> None:
    """Neither is waited for, and nothing outside of the container is read."""
    made = bundle(args=["sleep", "100"])
    (made.rootfs / "etc").mkdir(exist_ok=True)
    (made.rootfs / "etc" / "passwd").unlink(missing_ok=True)
    place = made.rootfs / "etc" / "passwd"
    secret = made.path / "secret"
    secret.write_text("u:x:12:34::/secret:\n")
    if kind == "fifo":
        os.mkfifo(place)
    elif kind == "directory":
        place.mkdir()
    elif kind == "loop":
        place.symlink_to("passwd")
    elif kind == "outside":
        place.symlink_to(Path("../../../../../..") / str(secret).lstrip("/"))
    container = runtime.up(made)
    wanted = process("sh", "-c", "echo $HOME", user={"uid": 12, "gid": 34})
    assert output_of(runtime, container, wanted) == "/\n"


# --- programs ---------------------------------------------------------------------------------


@pytest.fixture
def programs(runtime: Runtime, bundle: MakeBundle) -> str:
    """A container whose image has good and bad programs."""
    made = bundle(args=["sleep", "100"])
    for name in ("one", "two"):
        place = made.rootfs / name
        place.mkdir()
        (place / "tool").write_text(f"#!/bin/sh\necho {name} $0 $@\n")
    (made.rootfs / "one" / "tool").chmod(0o644)
    (made.rootfs / "two" / "tool").chmod(0o755)
    (made.rootfs / "two" / "foreign").write_bytes(b"\0\1\2\3")
    (made.rootfs / "two" / "foreign").chmod(0o755)
    (made.rootfs / "two" / "broken").write_text("#!/nowhere/interpreter\n")
    (made.rootfs / "two" / "broken").chmod(0o755)
    (made.rootfs / "link").symlink_to("/two/tool")
    (made.rootfs / "loop").symlink_to("loop")
    (made.rootfs / "file").write_text("")
    return runtime.up(made)


@pytest.mark.parametrize(
    ("program", "path", "cwd", "output"),
    [
        ("tool", "/one:/two", "/", "two /two/tool a b\n"),
        ("tool", "/nowhere:/file:/loop:/one::/two", "/", "two /two/tool a b\n"),
        ("tool", "/two:/two", "/", "two /two/tool a b\n"),
        ("tool", ":/one", "/two", "two ./tool a b\n"),
        ("tool", "two", "/", "two two/tool a b\n"),
        ("./tool", "/one", "/two", "two ./tool a b\n"),
        ("../two/tool", "/one", "/one", "two ../two/tool a b\n"),
        ("/link", "", "/one", "two /link a b\n"),
    ],
)
def test_found(
    runtime: Runtime, programs: str, program: str, path: str, cwd: str, output: str
) -> None:
    wanted = process(program, "a", "b", env=[f"PATH={path}"], cwd=cwd)
    assert output_of(runtime, programs, wanted) == output


@pytest.mark.parametrize(
    ("program", "values", "words"),
    [
        ("no-such", {}, "executable file not found in $PATH"),
        ("no-such", {"env": []}, "executable file not found in $PATH"),
        ("", {}, "executable file not found in $PATH"),
        ("tool", {"env": ["PATH=/nowhere:/one"]}, "/one/tool cannot be executed"),
        ("/nowhere", {}, "stat /nowhere: no such file or directory"),
        ("/one", {}, "is a directory: permission denied"),
        ("/one/tool", {}, "permission denied"),
        ("/loop", {}, "too many levels of symbolic links"),
        ("/file/x", {}, "not a directory"),
        ("/two/foreign", {}, "exec format error"),
        ("/two/broken", {}, "no such file or directory"),
        ("sh", {"cwd": "/nowhere"}, "process.cwd /nowhere"),
        ("sh", {"cwd": "/file"}, "it is not a directory in the container"),
        ("sh", {"cwd": "/loop"}, "process.cwd /loop"),
        ("sh", {"cwd": "/proc/self/fd/3"}, "process.cwd /proc/self/fd/3"),
        ("sh", {"cwd": "/proc/1/cwd"}, "it leads through a magic link"),
        ("/" + "x" * 5000, {}, "file name too long"),
        ("/proc/self/exe", {}, "too many levels of symbolic links"),
    ],
)
def test_failure_of(
    runtime: Runtime, programs: str, program: str, values: dict[str, Any], words: str
) -> None:
    assert words in failure_of(runtime, programs, process(program, **values))
