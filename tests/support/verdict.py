"""Judging an attack: it was refused with a clear message, or it ran and did no harm."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conformance.mounts import Mount, parse_mountinfo
from tests.support.canary import file_hash

if TYPE_CHECKING:
    from tests.support.bundle import Bundle
    from tests.support.runtime import Result, Runtime

INSIDE = "inside the container"
_MESSAGE_LIMIT = 1000


def assert_clear(runtime: Runtime, result: Result, *words: str, status: int = 1) -> None:
    """Assert that a failure says why: something on stderr, and no stack trace.

    For ociruntime also: exit `status`, one line (warnings aside) starting with its name, and all
    `words` in it, whatever their case.
    """
    assert result.status > 0, str(result)
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert lines, f"refused without a word\n{result}"
    for word in ("Traceback", "goroutine ", "panic:", "core dumped", "internal error"):
        assert word not in result.stderr, str(result)
    if runtime.is_ours:
        errors = [line for line in lines if not line.startswith("ociruntime: warning: ")]
        assert len(errors) == 1, f"not one line\n{result}"
        assert errors[0].startswith("ociruntime: "), str(result)
        assert len(errors[0]) <= _MESSAGE_LIMIT, str(result)
        assert result.status == status, str(result)
        for word in words:
            assert word.lower() in errors[0].lower(), f"{word!r} is not said\n{result}"


def attempt(runtime: Runtime, bundle: Bundle, script: str, *options: str, **how: Any) -> str | None:
    """Run `script` in the bundle; return its stdout, or None when the runtime refused clearly."""
    bundle.shell(f"echo '{INSIDE}'; {script}")
    result = runtime.run(bundle, *options, **how)
    head, token, output = result.stdout.partition(INSIDE + "\n")
    if token:
        return output
    assert not head, str(result)
    assert not result.ok, f"the container's output was lost\n{result}"
    assert_clear(runtime, result)
    return None


def assert_sources_inside(mountinfo: str, *allowed: Path) -> list[Mount]:
    """Assert that a container's mounts show nothing of the host's disk but `allowed` trees.

    `mountinfo` is the container's; a mount of the file system that `allowed` lies on must have
    its root at or below one of them. Returns all mounts.
    """
    device_root = _mount_root(allowed[0])
    roots = [os.path.relpath(path, device_root) for path in allowed]
    mounts = parse_mountinfo(mountinfo)
    kind = _filesystem(allowed[0])
    for mount in mounts:
        if mount.fstype == kind:
            shown = mount.root.lstrip("/")
            assert any(shown == root or shown.startswith(root + "/") for root in roots), (
                f"{mount.point} shows {mount.root} of the host"
            )
    return mounts


def _mount_root(path: Path) -> Path:
    while not path.is_mount():
        path = path.parent
    return path


def _filesystem(path: Path) -> str:
    point = str(_mount_root(path))
    own = parse_mountinfo(Path("/proc/self/mountinfo").read_text())
    return [mount.fstype for mount in own if mount.point == point][-1]


class HostPrograms:
    """The files a 5736-style attack overwrites; `check()` restores them and then fails."""

    def __init__(self, runtime: Path) -> None:
        binary = runtime.resolve()
        found = {binary, Path("/usr/bin/python3").resolve()}
        for base in (binary.parent, binary.parent.parent / "ociruntime"):
            found.update(path for path in base.glob("oci-init") if path.is_file())
        found.update(binary.parent.parent.glob("lib/python3*/site-packages/ociruntime/oci-init"))
        found.update(path.resolve() for path in Path("/usr/lib").glob("*/libpython3.*.so.1.0"))
        found.update(path.resolve() for path in Path("/usr/lib").glob("*/libseccomp.so.2"))
        self._content = {path: path.read_bytes() for path in found}
        self._hashes = {path: file_hash(path) for path in found}

    def check(self) -> None:
        """Raise AssertionError naming the programs that changed, after putting them back."""
        changed = [path for path, digest in self._hashes.items() if file_hash(path) != digest]
        for path in changed:
            spare = path.with_name(path.name + ".restored")
            spare.write_bytes(self._content[path])
            spare.chmod(path.stat().st_mode & 0o7777)
            spare.rename(path)
        assert not changed, f"overwritten on the host: {changed}"
