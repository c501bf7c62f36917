"""Control files: where the cgroup of a container is, and what is in it."""

from __future__ import annotations

from pathlib import Path

from conformance.container import Container
from conformance.trial import Trial


def place(t: Trial, container: Container, controller: str) -> Path:
    """Return the directory of a controller for a container; skips without the controller."""
    root = t.host.controller(controller)
    t.need(root, f"no {controller} controller is mounted (cgroup {t.host.cgroup_version})")
    wanted = "blkio" if controller == "io" and not t.host.unified else controller
    for line in container.proc("cgroup").splitlines():
        number, names, path = line.split(":", 2)
        if wanted in names.split(",") or (t.host.unified and number == "0"):
            return Path(f"{root}{path}")
    raise AssertionError(f"/proc/PID/cgroup has no {controller}")


def value(path: Path) -> str:
    """Return a control file's content, blanks and line feeds made one blank."""
    try:
        return " ".join(path.read_text().split())
    except OSError as error:
        return f"{path.name}: {error.strerror}"


def remove(path: Path) -> None:
    """Remove a cgroup that stays by design: parents of a container's are nobody's."""
    try:
        path.rmdir()
    except OSError:
        return
