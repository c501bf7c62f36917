"""Bad config.json: one clear line on stderr, exit status 1 (exec: 255), and nothing left behind."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.support.bundle import Bundle
from tests.support.patience import PATIENCE
from tests.support.verdict import assert_clear

if TYPE_CHECKING:
    from tests.support.runtime import Result, Runtime
    from tests.support.sandbox import Sandbox

MakeBundle = Callable[..., Bundle]
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]
VERBS = ("create", "run")


def _refused(runtime: Runtime, result: Result, *words: str, status: int = 1) -> None:
    """Assert a clear refusal after which the runtime knows no container."""
    assert_clear(runtime, result, *words, status=status)
    assert result.stdout == ""
    assert runtime.list("-q").check().stdout == ""


@pytest.mark.parametrize("verb", VERBS)
def test_missing_config(runtime: Runtime, sandbox: Sandbox, bundle: MakeBundle, verb: str) -> None:
    path = bundle().path
    result = runtime.call(verb, "--bundle", str(path), sandbox.new_id())
    _refused(runtime, result, str(path), "config.json", "no such file or directory")


@pytest.mark.parametrize("kind", ["directory", "fifo", "socket", "symlink loop", "dangling"])
def test_config_of_another_kind(
    runtime: Runtime, sandbox: Sandbox, bundle: MakeBundle, kind: str
) -> None:
    made = bundle()
    path = made.path / "config.json"
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as closed:
            closed.bind(str(path))
    elif kind == "symlink loop":
        path.symlink_to("config.json")
    else:
        path.symlink_to("/does/not/exist")
    result = runtime.create(made.path, timeout=PATIENCE)
    _refused(runtime, result, "config.json")


def test_unreadable_config(runtime: Runtime, sandbox: Sandbox, bundle: MakeBundle) -> None:
    """Not root, and the file is not ours to read."""
    made = bundle().write()
    (made.path / "config.json").chmod(0o600)
    result = runtime.create(made.path, wrapper=NOBODY)
    assert_clear(runtime, result)


BROKEN = {
    "empty": ("", 1, 1),
    "blank": ("\n\n  \n", 1, 1),
    "cut off": ('{\n "ociVersion": "1.0.2",\n "process": {', 3, 14),
    "missing comma": ('{\n "ociVersion": "1.0.2"\n "hostname": "x"\n}', 3, 2),
    "trailing comma": ('{\n "ociVersion": "1.0.2",\n}', 2, 23),
    "single quotes": ("{\n 'ociVersion': 1}", 2, 2),
    "comment": ("{\n // no\n}", 2, 2),
    "two documents": ('{"ociVersion": "1.0.2"}\n{}', 2, 1),
    "bad escape": ('{\n "hostname": "\\x"\n}', 2, 15),
    "control character": ('{\n "hostname": "a\nb"\n}', 2, 16),
}


@pytest.mark.parametrize(("text", "line", "column"), BROKEN.values(), ids=list(BROKEN))
def test_broken_json(
    runtime: Runtime, bundle: MakeBundle, text: str, line: int, column: int
) -> None:
    """The message says where: within a column or two, since parsers point differently."""
    made = bundle()
    (made.path / "config.json").write_text(text)
    result = runtime.create(made.path)
    _refused(runtime, result, "config.json")
    if runtime.is_ours:
        assert any(
            f"{line}:{near}" in result.stderr or f"line {line}, column {near}" in result.stderr
            for near in range(max(1, column - 2), column + 3)
        ), str(result)


RAW = {
    "nan": ('{"ociVersion": "1.0.2", "process": {"oomScoreAdj": NaN}}', "nan"),
    "infinity": ('{"ociVersion": "1.0.2", "process": {"oomScoreAdj": -Infinity}}', "infinity"),
    "duplicate key": ('{"ociVersion": "1.0.2", "hostname": "a", "hostname": "b"}', "hostname"),
    "nul": ('{"ociVersion": "1.0.2", "hostname": "a\\u0000b"}', "U+0000"),
    "lone surrogate": ('{"ociVersion": "1.0.2", "hostname": "a\\ud800b"}', "surrogate"),
    "deep": ('{"ociVersion": "1.0.2", "annotations": ' + "[" * 5000 + "]" * 5000 + "}", "nest"),
    "huge number": ('{"ociVersion": "1.0.2", "process": {"oomScoreAdj": ' + "9" * 5000 + "}}", ""),
    "array": ("[]", "object"),
    "null": ("null", "object"),
    "latin-1": (b'{"ociVersion": "1.0.2", "hostname": "\xe9"}', ""),
    "utf-16": ('{"ociVersion": "1.0.2"}'.encode("utf-16"), ""),
}


@pytest.mark.parametrize(("text", "word"), RAW.values(), ids=list(RAW))
def test_hostile_json(runtime: Runtime, bundle: MakeBundle, text: str | bytes, word: str) -> None:
    """What JSON parsers let through, and the kernel or our checks would misread."""
    made = bundle()
    raw = text if isinstance(text, bytes) else text.encode()
    (made.path / "config.json").write_bytes(raw)
    result = runtime.create(made.path, timeout=PATIENCE)
    if runtime.is_ours or not result.ok:
        _refused(runtime, result, "config.json", word)


WRONG = {
    "/ociVersion": 1,
    "/process": [],
    "/process/args": "sh",
    "/process/args/0": 1,
    "/process/env": {"A": "1"},
    "/process/user/uid": "root",
    "/process/terminal": "yes",
    "/process/capabilities/bounding": "CAP_KILL",
    "/process/rlimits/0/soft": -1,
    "/root": "rootfs",
    "/root/path": 7,
    "/hostname": 5,
    "/mounts": {},
    "/mounts/0/destination": None,
    "/mounts/0/options": "ro",
    "/linux": [],
    "/linux/namespaces": "all",
    "/linux/namespaces/0/type": "planet",
    "/linux/resources/memory": 5,
    "/linux/resources/pids": {"limit": "many"},
    "/linux/maskedPaths": "/proc/kcore",
    "/linux/sysctl": ["a"],
    "/linux/cgroupsPath": {},
    "/hooks/prestart": {"path": "/bin/true"},
    "/annotations": {"a": 1},
}


@pytest.mark.parametrize(("pointer", "value"), WRONG.items(), ids=list(WRONG))
def test_wrong_type(runtime: Runtime, bundle: MakeBundle, pointer: str, value: object) -> None:
    """The JSON pointer of the culprit is in the message (without `linux` several are at fault)."""
    made = bundle().set(pointer, value)
    result = runtime.create(made)
    if runtime.is_ours or not result.ok:
        _refused(runtime, result, "linux" if pointer == "/linux" else pointer)


MISSING = ("/ociVersion", "/root/path", "/process/cwd", "/process/args", "/mounts/0/destination")


@pytest.mark.parametrize("pointer", MISSING)
def test_missing_property(runtime: Runtime, bundle: MakeBundle, pointer: str) -> None:
    result = runtime.create(bundle().remove(pointer))
    if runtime.is_ours or not result.ok:
        _refused(runtime, result, pointer.rpartition("/")[2])


def test_empty_args(runtime: Runtime, bundle: MakeBundle) -> None:
    _refused(runtime, runtime.create(bundle(args=[])), "args")


def test_duplicate_namespace(runtime: Runtime, bundle: MakeBundle) -> None:
    result = runtime.create(bundle().add_namespace("pid"))
    if runtime.is_ours or not result.ok:
        _refused(runtime, result, "namespaces", "pid")


def test_duplicate_rlimit(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle()
    made.config["process"]["rlimits"] *= 2
    result = runtime.create(made)
    if runtime.is_ours or not result.ok:
        _refused(runtime, result, "RLIMIT_NOFILE")


@pytest.mark.parametrize("source", ["file", "directory"])
def test_bind_of_the_wrong_kind(
    runtime: Runtime, sandbox: Sandbox, bundle: MakeBundle, source: str
) -> None:
    """docker adds its own advice when it reads "not a directory"."""
    host = sandbox.bundles / "source"
    destination, name = "/mnt", "EISDIR"
    if source == "directory":
        host.mkdir()
        destination, name = "/etc/passwd", "ENOTDIR"
    else:
        host.write_text("")
    made = bundle().add_mount(destination, "bind", str(host), ["bind"])
    result = runtime.create(made)
    _refused(runtime, result, destination, name, "not a directory")
    assert ("or a part of it" in result.stderr) == (source == "directory")
