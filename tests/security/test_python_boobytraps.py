"""Nothing of the rootfs is loaded by our interpreter (CVE-2019-14271's class, for Python).

After the root was changed there is no import, no dlopen, no traceback and no NSS look-up: nobody
opens the files that are put under all names that these would look for.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.patience import PATIENCE
from tests.support.verdict import assert_clear

if TYPE_CHECKING:
    from tests.security.conftest import MakeBundle
    from tests.support.bundle import Bundle
    from tests.support.runtime import Runtime

SENTINEL = "/trapped"
FAKE_MODULE = f"open('{SENTINEL}', 'w').write('imported'); raise SystemExit(66)\n"
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
LIBRARIES = [
    "ld-linux-x86-64.so.2",
    "ld-linux-aarch64.so.1",
    "libc.so.6",
    "libm.so.6",
    "libz.so.1",
    "libexpat.so.1",
    "libseccomp.so.2",
    "libnss_files.so.2",
    "libnss_compat.so.2",
    "libgcc_s.so.1",
    f"libpython{VERSION}.so.1.0",
    "libffi.so.8",
    "libcap.so.2",
    "libselinux.so.1",
    "libapparmor.so.1",
]
FILES = [
    "etc/ld.so.cache",
    "etc/ld.so.preload",
    "etc/nsswitch.conf",
    "etc/localtime",
    "etc/locale.alias",
    "etc/resolv.conf",
    "etc/login.defs",
    f"etc/python{VERSION}/sitecustomize.py",
    "usr/lib/locale/locale-archive",
    "usr/share/zoneinfo/UTC",
    "root/.config",
    "dev/shm",
    "tmp/x",
]
NAMES_OF_OURS = ("ociruntime", "oci-init", "python3", f"python{VERSION}", "newuidmap", "newgidmap")


def _module_roots(binary: Path) -> list[str]:
    """Every directory an interpreter of this host could look for modules in."""
    version = f"python{VERSION}"
    found = {f"usr/lib/{version}", f"usr/local/lib/{version}", "usr/lib/python3/dist-packages"}
    found.add(f"usr/local/lib/{version}/dist-packages")
    found |= {f"usr/lib/{version}/lib-dynload", sysconfig.get_path("stdlib").lstrip("/")}
    here = binary.resolve().parent.parent  # a venv, a prefix, or a checkout
    found |= {str(here).lstrip("/"), f"{here}/lib/{version}/site-packages".lstrip("/")}
    found |= {f"{here}/lib/ociruntime".lstrip("/")}
    return sorted(found)


def _module_names(stdlib: Path) -> list[str]:
    names = set(sys.stdlib_module_names)
    names |= {f"encodings/{path.stem}" for path in (stdlib / "encodings").glob("*.py")}
    names |= {"ociruntime/__init__", "ociruntime/errors", "sitecustomize", "usercustomize"}
    return sorted(names)


def _trap(path: Path, kind: str) -> None:
    """Make one trap; a directory that is in the way stays."""
    if path.is_symlink() or path.exists():
        if path.is_dir() and not path.is_symlink():
            return
        path.unlink()
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "symlink":
        path.symlink_to("/proc/self/fd/0/../../../trap")
    elif kind == "module" and path.suffix == ".py":
        path.write_text(FAKE_MODULE)
    else:
        path.write_bytes(b"\x7fELF" + b"\xff" * 60)


def _set_traps(made: Bundle, binary: Path, kind: str) -> None:
    modules = made.rootfs / "modules"  # one tree of traps, under every name it could be sought
    for name in _module_names(Path(sysconfig.get_path("stdlib"))):
        _trap(modules / f"{name}.py", kind)
    for root in _module_roots(binary):
        place = made.rootfs / root
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.exists():  # relative, so that it means the same to us on the host
            place.symlink_to(os.path.relpath(modules, place.parent.resolve()))
    for directory in ("lib", "lib64", "usr/lib", "lib/x86_64-linux-gnu", "usr/lib64"):
        for name in LIBRARIES:
            _trap(made.rootfs / directory / name, kind)
    for name in FILES:
        _trap(made.rootfs / name, kind)
    for name in NAMES_OF_OURS:
        for directory in ("bin", "sbin", "usr/bin", "usr/local/bin"):
            _trap(made.rootfs / directory / name, kind)
    ours = binary.resolve().parent.parent / "ociruntime"
    for path in sorted(ours.rglob("*.py")) if ours.is_dir() else []:
        _trap(made.rootfs / str(path).lstrip("/"), kind)


@pytest.fixture(params=["fifo", "module", "symlink", "fake library"])
def trapped(request: pytest.FixtureRequest, bundle: MakeBundle, runtime_binary: Path) -> Bundle:
    """A bundle whose busybox works and whose every other file is a trap."""
    made = bundle()
    made.drop_mounts("/dev")
    _set_traps(made, runtime_binary, request.param)
    return made


def _assert_not_trapped(made: Bundle) -> None:
    assert not (made.rootfs / SENTINEL.lstrip("/")).exists(), "a module of the container was run"


def test_run(runtime: Runtime, trapped: Bundle) -> None:
    assert runtime.run(trapped.shell("echo alive"), timeout=PATIENCE).check().stdout == "alive\n"
    _assert_not_trapped(trapped)


def test_all_verbs(runtime: Runtime, trapped: Bundle) -> None:
    trapped.args = ["sleep", "100"]
    container = runtime.create(trapped, timeout=PATIENCE).check().container
    runtime.start(container, timeout=PATIENCE).check()
    result = runtime.exec(container, "echo", "alive", timeout=PATIENCE).check()
    assert result.stdout == "alive\n"
    runtime.kill(container, "KILL", timeout=PATIENCE).check()
    runtime.wait_for(container, "stopped")
    runtime.delete(container, timeout=PATIENCE).check()
    _assert_not_trapped(trapped)


def _no_program(made: Bundle) -> None:
    made.args = ["/bin/absent"]


def _bad_mount(made: Bundle) -> None:
    made.add_mount("/mnt", "tmpfs", "tmpfs", ["size=nonsense"])


def _bad_device(made: Bundle) -> None:
    (made.rootfs / "dev/made").write_text("")
    made.set("/linux/devices", [{"path": "/dev/made", "type": "c", "major": 1, "minor": 3}])


def _bad_rlimit(made: Bundle) -> None:
    made.set("/process/rlimits", [{"type": "RLIMIT_NOFILE", "soft": 2**40, "hard": 2**40}])


def _bad_cwd(made: Bundle) -> None:
    (made.rootfs / "file").write_text("")
    made.set("/process/cwd", "/file/below")


FAILURES = (_no_program, _bad_mount, _bad_device, _bad_rlimit, _bad_cwd)


@pytest.mark.parametrize("spoil", FAILURES, ids=[f.__name__.lstrip("_") for f in FAILURES])
def test_failure_inside(runtime: Runtime, trapped: Bundle, spoil: object) -> None:
    """An error after the root was changed: where Python would print a traceback from source."""
    assert callable(spoil)
    spoil(trapped)
    result = runtime.run(trapped, timeout=PATIENCE)
    assert_clear(runtime, result)
    _assert_not_trapped(trapped)


# Of the exec that is traced.
PROGRAMS = ("/bin/echo", "/usr/bin/echo")


def _strace(log: Path) -> tuple[str, ...]:
    """A wrapper that writes what is opened and executed; it does not wait for the container."""
    calls = "trace=open,openat,openat2,execve,execveat,pivot_root,setns,chroot"
    return ("strace", "-D", "-f", "-qq", "-s", "4096", "-o", str(log), "-e", calls)


def _after_entering(log: Path) -> list[str]:
    """The calls that name a path, of each process once it is in the container's root, up to
    oci-init, which is a memfd, or the program.
    """
    entered: set[str] = set()
    seen: set[str] = set()
    joined = False
    found = []
    for line in log.read_text(errors="replace").splitlines():
        pid, _, call = line.partition(" ")
        call = call.strip()
        joined |= call.startswith("setns(")
        if call.startswith(("pivot_root(", "setns(")) or (joined and pid not in seen):
            entered.add(pid)  # a child of the process that joined is inside from the start
        seen.add(pid)
        if call.startswith(("pivot_root(", "setns(")):
            continue
        if pid in entered and call.startswith("execve"):
            # oci-init from its memfd, or, as oci-exec's process does, the program itself.
            assert call.startswith("execveat(") or call.split('"')[1] in PROGRAMS, call
            entered.discard(pid)
        elif pid in entered and call.startswith(("open", "chroot")):
            found.append(call)
    return found


@pytest.mark.skipif(shutil.which("strace") is None, reason="no strace")
def test_what_is_opened_inside(runtime: Runtime, trapped: Bundle) -> None:
    """In the container's root only its passwd, its directories and the program are looked up, each
    by openat2 (never followed out), and nothing for our own sake.
    """
    trapped.args = ["sleep", "100"]
    logs = {verb: runtime.sandbox.directory / verb for verb in ("create", "start", "exec")}
    traced = {verb: {"wrapper": _strace(log), "timeout": PATIENCE} for verb, log in logs.items()}
    container = runtime.create(trapped, **traced["create"]).check().container
    runtime.start(container, **traced["start"]).check()
    runtime.exec(container, "echo", "alive", **traced["exec"]).check()
    runtime.kill(container, "KILL", timeout=PATIENCE).check()
    runtime.wait_for(container, "stopped")
    deleted = runtime.sandbox.directory / "delete"
    runtime.delete(container, wrapper=_strace(deleted), timeout=PATIENCE).check()
    # /dev/null: the streams of this test, which can be opened again in there.
    allowed = {"/", "/etc/passwd", "/dev/null", "/bin/sleep", "/usr/bin/sleep", *PROGRAMS}
    for verb in ("create", "exec"):
        calls = _after_entering(logs[verb])
        assert calls, f"{verb} was not traced into the container"
        opened = {call.split('"')[1] for call in calls}
        assert opened <= allowed, f"{verb}: {sorted(opened - allowed)}"
        for call in calls:
            rooted = call.startswith("openat2(") and "RESOLVE_IN_ROOT" in call
            assert rooted or call.split('"')[1] == "/", call
    rootfs = str(trapped.rootfs)
    for log in (logs["start"], deleted):
        assert _after_entering(log) == []
        assert rootfs not in log.read_text(errors="replace")
    _assert_not_trapped(trapped)
