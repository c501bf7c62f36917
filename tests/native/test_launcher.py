"""The front and the launcher: sealing, finding the package, isolation, exit status."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.native.driver import BUILD
from tests.support.patience import PATIENCE

MAIN = """
import fcntl, os, sys
from ociruntime.kernel import _sys

SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE

def main(arguments):
    action = arguments[0]
    if action == "fail":
        raise ValueError("no such thing\\nand more")
    if action == "nothing":
        return None
    if action == "pause":
        print("ready", flush=True)
        sys.stdin.read()
        return 0
    if action == "status":
        return int(arguments[1])
    if action == "import":
        import json, socket
        return 0
    print("install_dir", _sys.install_dir)
    with open("/proc/self/exe", "rb") as exe:
        try:
            seals = fcntl.fcntl(exe, fcntl.F_GET_SEALS)
        except OSError:
            seals = 0
    print("sealed", seals & SEALS == SEALS)
    print("module", _sys.__spec__.origin)
    print("exe", os.readlink("/proc/self/exe"))
    print("comm", open("/proc/self/comm").read().strip())
    print("argv", *sys.argv)
    print("arguments", *arguments)
    print("path", *sys.path)
    print("fds", *[os.readlink(f"/proc/self/fd/{n}") for n in (0, 1, 2)])
    print("open", *sorted(os.listdir("/proc/self/fd")))
    status = open("/proc/self/status").read()
    print("ignored", status.split("SigIgn:")[1].split()[0])
    print("caught", status.split("SigCgt:")[1].split()[0])
    maps = open("/proc/self/maps").read()
    print("libraries", len({line.split()[-1] for line in maps.splitlines() if "_sys" in line}))
    print("ctypes", "libffi" in maps)
    return 0
"""


def make_tree(prefix: Path, package: str = "lib/ociruntime") -> Path:
    """An installation of the built launcher with a Python package of our own; the launcher."""
    home = prefix / package
    for name in ("ociruntime", "ociruntime/kernel", "ociruntime/cli"):
        (home / name).mkdir(parents=True)
        (home / name / "__init__.py").touch()
    (home / "ociruntime/cli/main.py").write_text(MAIN)
    for module in BUILD.glob("_sys.*.so"):
        shutil.copy(module, home / "ociruntime/kernel")
    shutil.copy(BUILD / "launcher", home / "ociruntime/kernel")
    (prefix / "bin").mkdir()
    return Path(shutil.copy(BUILD / "ociruntime", prefix / "bin/ociruntime"))


@pytest.fixture(scope="module")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tree(tmp_path_factory.mktemp("prefix"))


def run(*command: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE, check=False, **options
    )


def facts(*command: str | Path, **options: Any) -> dict[str, str]:
    result = run(*command, **options)
    assert result.returncode == 0, result.stderr
    return dict(line.partition(" ")[::2] for line in result.stdout.splitlines())


def digest(path: Path | str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


@pytest.mark.parametrize("word", ["create", "run", "restore", "mounts", "shim", "zygote"])
def test_sealed_commands(launcher: Path, word: str) -> None:
    seen = facts(launcher, "facts", "--root", "/x", word)
    assert seen["sealed"] == "True"
    assert seen["exe"] == "/memfd:ociruntime (deleted)"
    assert seen["argv"] == f"{launcher} facts --root /x {word}"
    assert seen["install_dir"] == str(launcher.parent.parent / "lib/ociruntime")
    assert seen["comm"] == "ociruntime"


@pytest.mark.parametrize("word", ["start", "state", "exec", "creates", "Create", "re-run"])
def test_other_commands_run_as_they_are(launcher: Path, word: str) -> None:
    seen = facts(launcher, "facts", word)
    assert seen["sealed"] == "False"
    assert seen["exe"] == str(launcher.parent.parent / "lib/ociruntime/ociruntime/kernel/launcher")
    assert seen["comm"] == "ociruntime"


def test_sealed_copy_leaves_no_descriptor(launcher: Path) -> None:
    # 3 is the directory listing itself.
    assert facts(launcher, "facts", "create")["open"] == "0 1 2 3"


@pytest.mark.kernel
@pytest.mark.security
def test_sealed_program_cannot_be_written(launcher: Path) -> None:
    """CVE-2019-5736: /proc/PID/exe opened for reading, reopened for writing after the end."""
    installed = launcher.parent.parent / "lib/ociruntime/ociruntime/kernel/launcher"
    before = digest(installed)
    with subprocess.Popen([launcher, "pause", "create"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == b"ready\n"
        exe = f"/proc/{process.pid}/exe"
        assert digest(exe) == before, "a faithful copy"
        with pytest.raises(OSError, match="Text file busy"):
            os.open(exe, os.O_WRONLY)
        held = os.open(exe, os.O_RDONLY)
        process.stdin.close()
        assert process.wait() == 0
    reopened = os.open(f"/proc/self/fd/{held}", os.O_WRONLY)
    for attack in (
        lambda: os.write(reopened, b"#!/tmp/evil"),
        lambda: os.ftruncate(reopened, 0),
        lambda: os.ftruncate(reopened, 1 << 20),
        lambda: os.posix_fallocate(reopened, 0, 1 << 20),
    ):
        with pytest.raises(PermissionError):
            attack()
    assert digest(f"/proc/self/fd/{held}") == before
    assert digest(installed) == before
    os.close(held)
    os.close(reopened)


def test_unsealed_copy_in_memory_is_refused(launcher: Path) -> None:
    """Otherwise a memfd without seals would count as safe, or be copied for ever."""
    memfd = os.memfd_create("ociruntime")
    os.write(memfd, launcher.read_bytes())
    result = run(f"/proc/self/fd/{memfd}", "facts", "create", pass_fds=[memfd])
    os.close(memfd)
    assert result.returncode == 1
    assert result.stderr.startswith("ociruntime: cannot seal itself: the copy in memory has ")


def test_only_one_extension_module_is_loaded(launcher: Path) -> None:
    seen = facts(launcher, "facts")
    assert seen["module"] == "built-in"
    assert seen["libraries"] == "1"
    assert seen["ctypes"] == "False"


@pytest.mark.parametrize(
    "package",
    [
        f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages",
        f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/dist-packages",
        "lib/python3/dist-packages",
        "lib/ociruntime",
    ],
)
def test_layouts(tmp_path: Path, package: str) -> None:
    launcher = make_tree(tmp_path, package)
    link = tmp_path / "elsewhere"
    link.symlink_to(launcher)
    for command in (launcher, link):
        assert facts(command, "facts", "create")["install_dir"] == str(tmp_path / package)


def test_checkout_layout(tmp_path: Path) -> None:
    make_tree(tmp_path, ".")
    (tmp_path / "bin").rename(tmp_path / "build")
    for module in [*BUILD.glob("_sys.*.so"), BUILD / "launcher"]:
        shutil.copy(module, tmp_path / "build")
    assert facts(tmp_path / "build/ociruntime", "facts")["install_dir"] == str(tmp_path)


def test_no_package(tmp_path: Path) -> None:
    launcher = shutil.copy(BUILD / "ociruntime", tmp_path)
    result = run(launcher, "state", "x")
    assert result.returncode == 1
    assert result.stderr.startswith(f"ociruntime: cannot find its Python package near {launcher};")
    assert result.stderr.count("\n") == 1


def test_no_extension_module(tmp_path: Path) -> None:
    launcher = make_tree(tmp_path)
    for module in tmp_path.glob("lib/ociruntime/ociruntime/kernel/_sys.*.so"):
        module.unlink()
    result = run(launcher, "state", "x")
    assert result.returncode == 1
    assert result.stderr.startswith("ociruntime: cannot load its extension module: ")
    assert result.stderr.count("\n") == 1


def test_no_launcher(tmp_path: Path) -> None:
    front = make_tree(tmp_path)
    place = tmp_path / "lib/ociruntime/ociruntime/kernel/launcher"
    place.unlink()
    result = run(front, "state", "x")
    assert result.returncode == 1
    assert re.fullmatch(
        rf"ociruntime: cannot execute its launcher \S*/{place.relative_to(tmp_path)}; "
        r"reinstall it, or run `make dev`\n",
        result.stderr,
    )


def test_the_launcher_is_not_for_people() -> None:
    result = run("launcher", "state", "x", executable=BUILD / "launcher")
    assert result.returncode == 1
    assert result.stderr.startswith("ociruntime: this program is started by `ociruntime`")


@pytest.mark.parametrize("length", [4040, 4070, 4090])
def test_a_path_without_room_is_no_package(tmp_path: Path, length: int) -> None:
    """Names that are too long for the front are cut off nowhere."""
    deep = tmp_path
    while len(str(deep)) < length - 300:
        deep /= "d" * 200
    deep /= "e" * (length - len(str(deep)) - len("/ociruntime") - 1)
    deep.mkdir(parents=True)
    front = shutil.copy(BUILD / "ociruntime", deep)
    result = run(front, "state", "x")
    assert result.returncode == 1
    assert result.stderr.startswith(f"ociruntime: cannot find its Python package near {front};")


def test_environment_and_directory_do_not_matter(launcher: Path, tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('hijacked')")
    (tmp_path / "sitecustomize.py").write_text("raise SystemExit('hijacked')")
    environment = {"PYTHONPATH": str(tmp_path), "PYTHONHOME": "/nonexistent",
                   "PYTHONSTARTUP": str(tmp_path / "json.py"), "PYTHONINSPECT": "1",
                   "PYTHONVERBOSE": "1", "PYTHONWARNINGS": "error", "LC_ALL": "C"}  # fmt: skip
    result = run(launcher, "import", env=environment, cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert str(tmp_path) not in facts(launcher, "facts", env=environment, cwd=tmp_path)["path"]


def test_bytes_that_are_no_utf8(launcher: Path) -> None:
    output = subprocess.check_output([bytes(launcher), b"facts", b"\xff\xfe"])
    assert b"arguments facts \xff\xfe\n" in output


def test_closed_standard_descriptors(launcher: Path) -> None:
    script = f"exec {launcher} facts create 0<&- 2>&-"
    assert facts("sh", "-c", script)["fds"].split()[0::2] == ["/dev/null", "/dev/null"]


# Signals 32 and 33: what make starts by posix_spawn(3) of glibc may have them ignored.
OF_THE_C_LIBRARY = 0b11 << 31
# The launcher ignores two: neither a vanished reader nor a file that may not grow may kill it.
OURS = 1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1


def test_dispositions_stay_as_inherited(launcher: Path) -> None:
    # Under nohup or a shell's `&` this process itself ignores some; restore_signals resets three.
    restored = OURS | 1 << signal.SIGHUP - 1
    own = read_status("SigIgn") & ~OF_THE_C_LIBRARY & ~restored
    for program, ignored in (
        (["env", "--default-signal=HUP", launcher], OURS),
        (["env", "--ignore-signal=HUP", launcher], OURS | 1 << signal.SIGHUP - 1),
    ):
        seen = facts(*program, "facts", restore_signals=True)
        assert int(seen["ignored"], 16) & ~OF_THE_C_LIBRARY == own | ignored
        assert int(seen["caught"], 16) == 0


def read_status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value, 16)
    raise AssertionError(field)


@pytest.mark.parametrize("status", [0, 1, 7, 255])
def test_exit_status(launcher: Path, status: int) -> None:
    assert run(launcher, "status", str(status)).returncode == status


def test_exception_is_one_line(launcher: Path) -> None:
    result = run(launcher, "fail")
    assert result.returncode == 1
    assert result.stderr == "ociruntime: internal error: ValueError: no such thing and more\n"


def test_main_must_return_a_status(launcher: Path) -> None:
    result = run(launcher, "nothing")
    assert result.returncode == 1
    assert result.stderr.startswith("ociruntime: internal error: ")


def test_output_that_cannot_be_written_is_a_failure(launcher: Path) -> None:
    with open("/dev/full", "w") as full:
        result = subprocess.run(
            [launcher, "facts"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert result.returncode == 1
    assert result.stderr.startswith("ociruntime: cannot write the output: OSError: ")
    assert result.stderr.count("\n") == 1
