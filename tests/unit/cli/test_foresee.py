"""What `plan exec`, `plan update` and `plan delete` show of a container, as screens.

The container's process is this one, and its cgroup a directory that plays one; the same on the real
kernel is tests/kernel/test_plan_operations.py.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ociruntime.cgroups import open_group
from ociruntime.cgroups.detect import Hierarchy, Layout
from ociruntime.cgroups.path import place
from ociruntime.kernel.pids import start_time
from ociruntime.plan.host import Host, Powers
from ociruntime.spec.default import default_config
from ociruntime.state.store import Store
from tests.support.screens import WIDTHS, check
from tests.unit.cgroups.fake import FakeCgroups
from tests.unit.cgroups.layouts import v2_layout

from .caller import call

ALL = (1 << 41) - 1
CALLS = {
    "plan-exec": (
        "plan exec web /bin/sh -c id",
        "plan exec --tty --user 1000:1000 --cwd /srv --pid-file /run/pid --ignore-paused web sh",
    ),
    "plan-update": (
        "plan update --pids-limit 30 --memory 64M --memory-swap 128M --cpu-quota 50000 web",
        "plan update --cpu-share 512 --blkio-weight 100 web",
    ),
    "plan-delete": ("plan delete --force web",),
}


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state directory with the running container `web`; its path is short on every machine."""
    with tempfile.TemporaryDirectory(prefix="o", dir="/tmp") as directory:
        base = Path(directory, "cgroups")
        base.mkdir()
        fake = FakeCgroups(base, ("unified",))
        names = ("cpu", "io", "memory", "pids")
        layout = Layout("v2", [Hierarchy("", names, f"{base}/unified", "/", "/own")])
        where = place(layout, "/leaf", "web")
        group = open_group(fake, where)
        group.create()
        group.close()
        for file, text in (
            ("pids.max", "20"), ("cpu.max", "max 100000"), ("cpu.weight", "100"),
            ("io.weight", "default 100"),
        ):  # fmt: skip
            (base / "unified/leaf" / file).write_text(text + "\n")
        of = "ociruntime.lifecycle.foresee"
        monkeypatch.setattr(f"{of}.detect", lambda _kernel: layout)
        monkeypatch.setattr(f"{of}.saved_group", lambda _container: open_group(fake, where))
        host = Host(0, 0, ALL, 40, v2_layout(), in_userns=False)
        monkeypatch.setattr("ociruntime.cli.foresee.read_host", lambda _kernel: host)
        powers = Powers(0, ALL, 40)
        monkeypatch.setattr("ociruntime.lifecycle.exec.read_powers", lambda: powers)
        _claim(Path(directory, "root"))
        yield Path(directory, "root")


def _claim(root: Path) -> None:
    config = default_config()
    config["hooks"] = {"poststop": [{"path": "/usr/bin/logger"}]}
    container = Store(str(root)).claim("web")
    container.store_config(json.dumps(config).encode())
    container.data = {
        "version": 1,
        "ociVersion": "1.3.0",
        "status": "running",
        "bundle": "/srv/web",
        "rootfs": "/srv/web/rootfs",
        "pid": os.getpid(),
        "start_time": start_time(os.getpid()),
        "has_process": True,
        "setgroups": True,
        "namespaces": ["pid", "network", "ipc", "uts", "mount", "cgroup"],
        "shared_pid": False,
        "terminal": False,
        "hooks": ["poststop"],
        "annotations": {},
        "labels": {},
        "has_seccomp": False,
        "seccomp_listener": None,
        "created": "2026-01-02T03:04:05.000000006Z",
        "owner": "0",
        "cgroup": {
            "mode": "v2",
            "paths": {"": "/sys/fs/cgroup/web"},
            "mountpoints": {"": "/sys/fs/cgroup"},
            "existing": {"": 0},
        },
    }
    container.save()
    container.close()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", CALLS)
def test_screen(name: str, width: int, root: Path) -> None:
    shown = []
    for words in CALLS[name]:
        plan, operation, *rest = words.split()
        done = call(root, plan, operation, "--width", str(width), *rest)
        assert (done.status, done.stderr) == (0, "")
        text = done.stdout.replace(str(root), "/run/x")
        shown.append(re.sub(r"\bprocess \d+", "process 4242", text))
    check(name, width, "\n".join(shown))


def test_the_file_that_this_kernel_has(root: Path) -> None:
    """io.weight where bfq schedules nothing, in its own measure; what is nowhere fails."""
    files = root.parent / "cgroups/unified/leaf"
    words = ("plan", "update", "--format", "json", "--blkio-weight", "100", "web")
    (step,) = call(root, *words).json()["steps"]
    assert step["operands"] == {"file": "io.weight", "value": "default 910", "now": "default 100"}
    (files / "io.bfq.weight").write_text("100\n")
    (step,) = call(root, *words).json()["steps"]
    assert step["operands"] == {"file": "io.bfq.weight", "value": "100", "now": "100"}
    for name in ("io.bfq.weight", "io.weight"):
        (files / name).unlink()
    (step,) = call(root, *words).json()["steps"]
    assert "does not have: it will fail" in step["description"]
    (files / "memory.swap.max").unlink()
    words = ("plan", "update", "--memory", "64M", "--memory-swap", "-1", "web")
    assert "memory.swap.max" not in call(root, *words).stdout
