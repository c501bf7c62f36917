"""Bad input: one clear line on stderr, exit status 1 (exec: 255), and nothing left behind."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
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


# The bundle and its parts


@pytest.mark.parametrize("kind", ["file", "absent", "symlink to nowhere", "fifo"])
def test_bundle_is_no_directory(runtime: Runtime, sandbox: Sandbox, kind: str) -> None:
    path = sandbox.directory / "bad"
    if kind == "file":
        path.write_text("{}")
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind != "absent":
        path.symlink_to("/does/not/exist")
    _refused(runtime, runtime.create(path, timeout=PATIENCE), str(path))


@pytest.mark.parametrize("kind", ["absent", "file", "empty path"])
def test_rootfs(runtime: Runtime, bundle: MakeBundle, kind: str) -> None:
    made = bundle()
    if kind == "empty path":
        made.set("/root/path", "")
    else:
        shutil.rmtree(made.rootfs)
    if kind == "file":
        made.rootfs.write_text("")
    _refused(runtime, runtime.create(made), "root")


def test_bind_source_absent(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle().bind("/does/not/exist", "/mnt")
    _refused(runtime, runtime.create(made), "mounts[7]", "/does/not/exist")


def test_unknown_filesystem(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle().add_mount("/mnt", "nosuchfs", "none", [])
    _refused(runtime, runtime.create(made), "mounts[7]", "nosuchfs")


def test_bad_mount_data(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle().add_mount("/mnt", "tmpfs", "tmpfs", ["size=nonsense"])
    _refused(runtime, runtime.create(made), "mounts[7]", "size=nonsense")


@pytest.mark.parametrize("path", ["ns/net", "./net", "proc/1/ns/net"])
def test_relative_namespace_path(runtime: Runtime, bundle: MakeBundle, path: str) -> None:
    made = bundle().drop_namespace("network").add_namespace("network", path)
    _refused(runtime, runtime.create(made), path, "absolute")


@pytest.mark.parametrize(
    "path", ["/proc/self/ns/uts", "/etc/passwd", "/dev/null", "/does/not/exist", "/proc/self/ns"]
)
def test_namespace_path_of_another_type(runtime: Runtime, bundle: MakeBundle, path: str) -> None:
    """The type is checked with NS_GET_NSTYPE (config-linux.md, namespaces)."""
    made = bundle().drop_namespace("network").add_namespace("network", path)
    _refused(runtime, runtime.create(made, timeout=PATIENCE), path)


def test_program_absent(runtime: Runtime, bundle: MakeBundle) -> None:
    """docker and podman read these words to choose exit status 127."""
    result = runtime.run(bundle(args=["nosuchprogram"]))
    _refused(runtime, result, "nosuchprogram", "executable file not found")


def test_program_not_executable(runtime: Runtime, bundle: MakeBundle) -> None:
    result = runtime.run(bundle(args=["/etc/passwd"]))
    _refused(runtime, result, "/etc/passwd", "permission denied")


# Ids and states


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../a", ".hidden", "a b", "a" * 2000])
@pytest.mark.parametrize("verb", VERBS)
def test_bad_id(runtime: Runtime, bundle: MakeBundle, verb: str, name: str) -> None:
    if name == ".hidden" and not runtime.is_ours:
        pytest.skip("a leading dot is refused since crun 1.28 only")
    result = runtime.call(verb, "--bundle", str(bundle().write().path), name)
    _refused(runtime, result, "id")


@pytest.mark.parametrize("verb", ["state", "start", "kill", "delete", "exec", "ps"])
def test_unknown_id(runtime: Runtime, sandbox: Sandbox, verb: str) -> None:
    extra = ["true"] if verb == "exec" else []
    name = sandbox.new_id()
    result = runtime.call(verb, name, *extra)
    words = ("container does not exist",) if runtime.is_ours else ()
    _refused(runtime, result, name, *words, status=255 if verb == "exec" else 1)


def test_delete_force_unknown_id(runtime: Runtime, sandbox: Sandbox) -> None:
    """Engines clean up twice: by force, absent is fine."""
    result = runtime.delete(sandbox.new_id(), "--force").check()
    assert result.stderr == ""


def test_same_id_twice(runtime: Runtime, bundle: MakeBundle) -> None:
    container = runtime.create(bundle(args=["sleep", "100"])).check().container
    result = runtime.call("create", "--bundle", str(bundle().write().path), container)
    assert_clear(runtime, result, "container with given ID already exists")
    assert runtime.status(container) == "created"


@pytest.mark.parametrize("sig", ["NOSUCH", "SIGNOSUCH", "65", "-1", "", "9x", "RTMIN+99", "1.5"])
def test_unknown_signal(runtime: Runtime, bundle: MakeBundle, sig: str) -> None:
    container = runtime.up(bundle(args=["sleep", "100"]))
    result = runtime.call("kill", container, "--", sig) if sig == "-1" else None
    result = result or runtime.kill(container, sig)
    if runtime.is_ours or not result.ok:
        assert_clear(runtime, result, "signal")
    assert runtime.status(container) == "running"


def test_start_twice(runtime: Runtime, bundle: MakeBundle) -> None:
    container = runtime.up(bundle(args=["sleep", "100"]))
    assert_clear(runtime, runtime.start(container), "running")
    assert runtime.status(container) == "running"


def test_delete_running(runtime: Runtime, bundle: MakeBundle) -> None:
    container = runtime.up(bundle(args=["sleep", "100"]))
    assert_clear(runtime, runtime.delete(container), "running")
    assert runtime.status(container) == "running"


def test_kill_stopped(runtime: Runtime, bundle: MakeBundle) -> None:
    container = runtime.up(bundle(args=["/bin/true"]))
    runtime.wait_for(container, "stopped")
    words = ("container not running",) if runtime.is_ours else ()
    assert_clear(runtime, runtime.kill(container), *words)


# The command line and the surroundings


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["nosuchcommand"], "nosuchcommand"),
        (["create", "--nosuchflag", "x"], "nosuchflag"),
        (["create"], "id"),
        (["create", "a", "b"], "id"),
        (["start"], "id"),
        (["create", "--bundle"], "bundle"),
        (["create", "--preserve-fds", "many", "x"], "preserve-fds"),
        (["create", "--preserve-fds", "-1", "x"], "preserve-fds"),
        (["list", "--format", "yaml"], "yaml"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_command_line(runtime: Runtime, arguments: list[str], word: str) -> None:
    result = runtime.call(*arguments)
    if runtime.is_ours:
        _refused(runtime, result, word)
    else:
        assert not result.ok or arguments[0] == "list", str(result)


@pytest.mark.parametrize("option", [["--log-format", "xml"], ["--nosuch"], ["--log", "/no/dir/x"]])
def test_global_option(runtime: Runtime, sandbox: Sandbox, option: list[str]) -> None:
    runtime.global_options = tuple(option)
    result = runtime.state(sandbox.new_id())
    assert result.status != 0
    if runtime.is_ours:
        runtime.global_options = ()
        _refused(runtime, result, option[-1])


def test_not_root(runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox) -> None:
    """An ordinary user without a user namespace: EPERM, and what would help."""
    made = bundle()
    sandbox.root.mkdir()
    os.chown(sandbox.root, 65534, 65534)
    result = runtime.create(made, wrapper=NOBODY)
    assert_clear(runtime, result)
    if runtime.is_ours:
        assert any(word in result.stderr for word in ("EPERM", "root", "user namespace")), result


@pytest.mark.parametrize("kind", ["file", "below a file", "not writable"])
def test_root_directory(runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox, kind: str) -> None:
    path = sandbox.root
    wrapper: list[str] = []
    if kind == "file":
        path.write_text("")
    elif kind == "below a file":
        path.write_text("")
        runtime.root = path / "below"
    else:
        path.mkdir(mode=0o700)
        wrapper = NOBODY
    result = runtime.create(bundle(), wrapper=wrapper)
    assert_clear(runtime, result, *([] if kind == "not writable" else [str(runtime.root)]))
    if kind != "not writable":
        assert path.read_text() == ""
        path.unlink()


@pytest.mark.parametrize("kind", ["absent", "a file", "not given", "not wanted"])
def test_console_socket(runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox, kind: str) -> None:
    made = bundle(process={"terminal": kind != "not wanted"})
    path = sandbox.directory / "test-console"
    if kind == "a file":
        path.write_text("")
    options = [] if kind == "not given" else ["--console-socket", str(path)]
    result = runtime.create(made, *options)
    if runtime.is_ours or not result.ok:
        _refused(runtime, result, "console")


def test_pid_file_in_absent_directory(runtime: Runtime, bundle: MakeBundle) -> None:
    result = runtime.create(bundle(args=["sleep", "100"]), "--pid-file", "/does/not/exist/pid")
    _refused(runtime, result, "/does/not/exist")


def test_failing_hook(runtime: Runtime, bundle: MakeBundle) -> None:
    """Kind, index, path, exit status, and the end of its stderr."""
    script = "echo first >&2; echo the reason >&2; exit 3"
    made = bundle(args=["sleep", "100"])
    made.set("/hooks/createRuntime", [{"path": "/bin/sh", "args": ["sh", "-c", script]}])
    result = runtime.create(made)
    words = ("createRuntime", "0", "/bin/sh", "3", "the reason") if runtime.is_ours else ()
    _refused(runtime, result, *words)


def test_log_file_gets_the_reason(runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox) -> None:
    """Engines show the last error line of the JSON log, so it must carry all."""
    log = sandbox.logs / "log.json"
    runtime.global_options = ("--log", str(log), "--log-format", "json")
    result = runtime.create(bundle().bind("/does/not/exist", "/mnt"))
    assert not result.ok
    last = [json.loads(line) for line in Path(log).read_text().splitlines()][-1]
    assert last["level"] == "error"
    assert "/does/not/exist" in last["msg"] or "no such file" in last["msg"].lower()
    assert last["time"]


def test_json_without_a_log_is_on_standard_error(runtime: Runtime, bundle: MakeBundle) -> None:
    """Whole, and nothing else: who asked for JSON reads every line as JSON."""
    made = bundle(["/bin/true"])
    made.config["process"]["env"].append("odd")
    runtime.global_options = ("--log-format", "json")
    refused = runtime.state("nosuch")
    (line,) = refused.stderr.splitlines()
    assert json.loads(line)["level"] == "error"
    assert "does not exist" in json.loads(line)["msg"]
    if runtime.is_ours:
        (line,) = runtime.run(made).check().stderr.splitlines()
        assert json.loads(line)["level"] == "warning"
        assert "/process/env" in json.loads(line)["msg"]


def test_the_version_has_the_commit(runtime: Runtime) -> None:
    """As engines take it apart."""
    text = runtime.call("--version").check().stdout
    lines = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
    assert lines["commit"]
    if runtime.is_ours:
        commit = lines["commit"].removesuffix("-dirty")
        assert commit == "unknown" or (len(commit) == 40 and int(commit, 16))
