"""Names of files, arguments and paths are bytes; not all of them are UTF-8."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.support.runtime import TIMEOUT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.bundle import Bundle
    from tests.support.runtime import Runtime

MakeBundle = Callable[..., "Bundle"]
ODD = "odd-\udcff\udcfe"


def call(runtime: Runtime, *words: str) -> tuple[int, bytes, str]:
    """(status, output, what it said); `words` may hold any bytes."""
    # Files: a container has the streams of `create`.
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        done = subprocess.run(
            [str(runtime.binary), "--root", str(runtime.root), *words],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            timeout=TIMEOUT,
            env=runtime.sandbox.environment(),
            check=False,
        )
        stdout.seek(0)
        stderr.seek(0)
        said = stderr.read().decode()
        assert "internal error" not in said
        return done.returncode, stdout.read(), said


def test_files_of_the_image(runtime: Runtime, bundle: MakeBundle) -> None:
    """What tmpcopyup copies: files, directories and the targets of links."""
    made = bundle().shell("cd /data; ls | wc -l; cat odd*/odd*; readlink link")
    data = f"{made.rootfs}/data"
    os.makedirs(f"{data}/{ODD}")
    with open(f"{data}/{ODD}/{ODD}", "w", encoding="ascii") as file:
        file.write("content\n")
    os.symlink(ODD, f"{data}/link")
    made.add_mount("/data", "tmpfs", "tmpfs", ["tmpcopyup"])
    # The link's target cannot be printed as text by our harness.
    made.shell("cd /data; ls | wc -l; cat odd*/odd*; readlink link | wc -c")
    assert runtime.run(made).check().stdout.split() == ["2", "content", "7"]


def test_exec(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle(args=["sleep", "100"])
    os.mkdir(f"{made.rootfs}/{ODD}")
    container = runtime.up(made)
    status, output, said = call(
        runtime, "exec", "--cwd", f"/{ODD}", "--env", f"A={ODD}", container,
        "sh", "-c", 'pwd; echo "$1"; echo "$A"', "sh", ODD,
    )  # fmt: skip
    odd = os.fsencode(ODD)
    assert (status, output.split(b"\n")) == (0, [b"/" + odd, odd, odd, b""]), said
    status, _, said = call(runtime, "exec", container, ODD)
    assert status in (127, 255)
    assert "executable file not found" in said
    status, _, said = call(runtime, "exec", "--apparmor", ODD, container, "true")
    assert status == 255 or not said


def test_bundle_and_pid_file(runtime: Runtime, bundle: MakeBundle, tmp_path: Path) -> None:
    made = bundle(args=["sleep", "100"]).write()
    path = f"{made.path}-{ODD}"
    os.rename(made.path, path)
    pid_file = f"{tmp_path}/{ODD}.pid"
    name = runtime.sandbox.new_id()
    runtime.created.append(name)
    status, _, said = call(runtime, "create", "--bundle", path, "--pid-file", pid_file, name)
    assert status == 0, said
    with open(pid_file, encoding="ascii") as file:
        pid = int(file.read())
    status, output, said = call(runtime, "state", name)
    document = json.loads(output)
    assert (status, document["pid"]) == (0, pid), said
    assert document["bundle"] == path
    for words in (["list"], ["list", "--format", "json"], ["ps", name], ["start", name]):
        assert call(runtime, *words)[0] == 0, words
    assert call(runtime, "kill", name, "KILL")[0] == 0
    assert call(runtime, "delete", "--force", name)[0] == 0
    for words in (["plan", "--bundle", path], ["validate", "--bundle", path]):
        assert call(runtime, *words)[0] == 0, words
    trace = f"{tmp_path}/{ODD}.trace"
    name = runtime.sandbox.new_id()
    assert call(runtime, "--trace", trace, "create", "--bundle", path, name)[0] == 0
    runtime.created.append(name)
    assert call(runtime, "delete", "--force", name)[0] == 0
    os.rename(path, made.path)


def test_hooks_get_the_state(runtime: Runtime, bundle: MakeBundle, tmp_path: Path) -> None:
    made = bundle(args=["true"])
    script = f"cat >{tmp_path}/state"
    made.config["hooks"] = {"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", script]}]}
    made.write()
    path = f"{made.path}-{ODD}"
    os.rename(made.path, path)
    name = runtime.sandbox.new_id()
    runtime.created.append(name)
    status, _, said = call(runtime, "run", "--bundle", path, name)
    assert status == 0, said
    assert json.loads((tmp_path / "state").read_bytes())["bundle"] == path
    os.rename(path, made.path)


def test_without_pivot(runtime: Runtime, bundle: MakeBundle) -> None:
    """--no-pivot looks at every mount point of the host that it has to hide."""
    made = bundle(args=["true"]).write()
    place = f"{runtime.sandbox.directory}/{ODD}"
    os.mkdir(place)
    name = runtime.sandbox.new_id()
    script = (
        f'mount -t proc proc "$1" && exec {runtime.binary} --root {runtime.root} run --no-pivot '
        f"--bundle {made.path} {name}"
    )
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", place],
        capture_output=True,
        timeout=TIMEOUT,
        env=runtime.sandbox.environment(),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    os.rmdir(place)
