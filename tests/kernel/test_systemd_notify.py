"""Units of Type=notify (docs/usage.md): when systemd takes a container's service for started, which
process it watches, and what it shows of it. `make vm-test` runs these where systemd runs.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.kernel.test_notify import SAY
from tests.kernel.test_systemd import needs_systemd, shown
from tests.support.patience import PATIENCE

if TYPE_CHECKING:
    from tests.support.bundle import Bundle
    from tests.support.runtime import Runtime

MakeBundle = Callable[..., "Bundle"]
UNITS = Path("/run/systemd/system")
UNIT = """[Service]
Type=notify
NotifyAccess=all
TimeoutSec={seconds}
ExecStart={command}
"""


def systemctl(*words: str, check: bool = True) -> None:
    """Have systemd do something."""
    subprocess.run(["systemctl", *words], check=check, capture_output=True, text=True)


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait for it; raises AssertionError when it hangs."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@pytest.fixture
def unit(runtime: Runtime) -> Iterator[str]:
    """The name of a service unit, whose file the test writes."""
    if not runtime.is_ours:
        pytest.skip("the forwarding of ociruntime is tested")
    name = f"{runtime.sandbox.new_id()}.service"
    yield name
    systemctl("stop", name, check=False)
    systemctl("reset-failed", name, check=False)
    (UNITS / name).unlink(missing_ok=True)
    systemctl("daemon-reload")


@needs_systemd
@pytest.mark.parametrize("options", [[], ["--detach"]], ids=["foreground", "detached"])
@pytest.mark.parametrize("driver", ["cgroupfs", "systemd"])
def test_service(
    runtime: Runtime, bundle: MakeBundle, unit: str, options: list[str], driver: str
) -> None:
    """Starting until the container says READY=1; then its first process is the main one, its status
    is shown, and stopping the service ends it.
    """
    made = bundle()
    (made.rootfs / "say.py").write_text(SAY)
    for place in ("/usr", "/lib", "/lib64", "/bin", "/etc"):
        if Path(place).is_dir():
            made.add_mount(place, "bind", place, ["rbind", "ro"])
    said = r"READY=1\nSTATUS=up and running\nMAINPID=1"
    say = f"/usr/bin/python3 -I -S /say.py '{said}'"
    wait = "while :; do sleep 0.1; done"
    made.shell(f"trap exit TERM; until [ -e /go ]; do sleep 0.1; done; {say}; {wait}")
    if driver == "systemd":
        made.config["linux"]["cgroupsPath"] = f"system.slice:t:{unit.removesuffix('.service')}"
    made.write()
    container = runtime.sandbox.new_id()
    runtime.created.append(container)
    command = (runtime.binary, "--root", runtime.root, "--cgroup-manager", driver, "run", *options,
               "--bundle", made.path, container)  # fmt: skip
    words = " ".join(map(str, command))
    (UNITS / unit).write_text(UNIT.format(seconds=PATIENCE, command=words))
    systemctl("daemon-reload")
    systemctl("start", "--no-block", unit)
    wait_until(lambda: runtime.call("state", container).ok, "the container")
    runtime.wait_for(container, "running")
    assert shown(unit, "ActiveState") == {"ActiveState": "activating"}
    (made.rootfs / "go").touch()
    wait_until(lambda: shown(unit, "ActiveState") != {"ActiveState": "activating"}, "the service")
    assert shown(unit, "ActiveState", "MainPID", "StatusText") == {
        "ActiveState": "active", "MainPID": str(runtime.pid(container)),
        "StatusText": "up and running",
    }  # fmt: skip
    systemctl("stop", unit)
    assert shown(unit, "ActiveState", "Result") == {"ActiveState": "inactive", "Result": "success"}
    if options:
        runtime.wait_for(container, "stopped")
        runtime.delete(container).check()
    else:
        wait_until(lambda: not runtime.call("state", container).ok, "the removal")
    runtime.created.remove(container)
