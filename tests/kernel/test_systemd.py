"""The systemd driver (docs/cgroups.md, "systemd"), where systemd runs; elsewhere, the error.

`make vm-test` runs these in a machine that has it.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ociruntime.cgroups import open_group
from ociruntime.cgroups.detect import detect
from ociruntime.cgroups.path import Placement
from ociruntime.kernel.kernel import Kernel
from tests.support.runtime import TIMEOUT
from tests.support.verdict import assert_clear

if TYPE_CHECKING:
    from tests.support.bundle import Bundle
    from tests.support.runtime import Runtime
    from tests.support.sandbox import Sandbox

MakeBundle = Callable[..., "Bundle"]
SYSTEMD = Path("/run/systemd/system").is_dir() and Path("/run/dbus/system_bus_socket").exists()
LAYOUT = detect(Kernel())
MIB = 1 << 20

needs_systemd = pytest.mark.skipif(not SYSTEMD, reason="systemd does not run here")
needs_v2 = pytest.mark.skipif(LAYOUT.mode != "v2", reason="not a cgroup v2 host")
SLEEP = ["sleep", "1000"]


@pytest.fixture
def systemd(runtime: Runtime, sandbox: Sandbox) -> Iterator[Runtime]:
    """The runtime with --systemd-cgroup; no unit of the test may be left."""
    if not runtime.is_ours:
        pytest.skip("the driver of ociruntime is tested")
    runtime.global_options = ("--systemd-cgroup",)
    yield runtime
    runtime.remove_all()
    runtime.created.clear()
    left = units(f"*{sandbox.prefix}-*")
    for name in left:
        subprocess.run(["systemctl", "stop", name], check=False)
        subprocess.run(["systemctl", "reset-failed", name], check=False)
    assert not left


def units(pattern: str) -> list[str]:
    """The loaded units with such a name."""
    command = ["systemctl", "list-units", "--all", "--plain", "--no-legend", pattern]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return [line.split()[0] for line in done.stdout.splitlines()]


def shown(unit: str, *names: str) -> dict[str, str]:
    """Properties of a unit, as systemctl shows them."""
    command = ["systemctl", "show", unit, f"--property={','.join(names)}"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(line.split("=", 1) for line in done.stdout.splitlines())


def make(bundle: MakeBundle, resources: dict[str, Any] | None = None) -> tuple[Bundle, str]:
    """A sleeping container and the name of its unit."""
    made = bundle(SLEEP)
    name = made.path.name
    made.config["linux"]["cgroupsPath"] = f"system.slice:t:{name}"
    if resources is not None:
        made.config["linux"]["resources"] = resources
    return made, f"t-{name}.scope"


def files(unit: str, *names: str) -> list[str]:
    """What files of the unit's cgroup hold."""
    base = Path("/sys/fs/cgroup/system.slice", unit)
    return [(base / name).read_text().strip() for name in names]


@pytest.mark.skipif(SYSTEMD, reason="systemd runs here")
def test_without_systemd(runtime: Runtime, bundle: MakeBundle) -> None:
    made, _ = make(bundle)
    runtime.global_options = ("--systemd-cgroup",)
    assert_clear(runtime, runtime.create(made), "system_bus_socket", "cgroupfs")


@needs_systemd
def test_scope(systemd: Runtime, bundle: MakeBundle) -> None:
    made, unit = make(bundle)
    container = systemd.up(made)
    pid = systemd.pid(container)
    assert f"/system.slice/{unit}\n" in Path(f"/proc/{pid}/cgroup").read_text()
    found = shown(unit, "ActiveState", "Delegate", "Slice", "TasksAccounting", "Description")
    description = found.pop("Description")
    assert container in description or made.path.name in description
    assert found == {
        "ActiveState": "active", "Delegate": "yes", "Slice": "system.slice",
        "TasksAccounting": "yes",
    }  # fmt: skip
    systemd.exec(container, "true").check()
    systemd.delete(container, "--force").check()
    assert units(unit) == []
    assert not list(Path("/sys/fs/cgroup").glob(f"**/{unit}"))


@needs_systemd
def test_default_name(systemd: Runtime, bundle: MakeBundle) -> None:
    made = bundle(SLEEP)
    del made.config["linux"]["cgroupsPath"]
    container = systemd.up(made)
    assert units(f"ociruntime-{container}.scope")
    systemd.delete(container, "--force").check()
    assert not units(f"ociruntime-{container}.scope")


RESOURCES = {
    "memory": {"limit": 64 * MIB, "swap": 96 * MIB, "reservation": 32 * MIB},
    "cpu": {"shares": 512, "quota": 33_333, "period": 100_000, "cpus": "0"},
    "pids": {"limit": 20},
}
SHOWN = {
    "MemoryMax": str(64 * MIB), "MemoryLow": str(32 * MIB), "MemorySwapMax": str(32 * MIB),
    "CPUWeight": "59", "CPUQuotaPerSecUSec": "340ms", "AllowedCPUs": "0", "TasksMax": "20",
}  # fmt: skip
FILES = {
    "memory.max": str(64 * MIB), "memory.low": str(32 * MIB), "memory.swap.max": str(32 * MIB),
    "cpu.weight": "59", "cpu.max": "33333 100000", "cpuset.cpus": "0", "pids.max": "20",
}  # fmt: skip


@needs_systemd
@needs_v2
def test_limits(systemd: Runtime, bundle: MakeBundle) -> None:
    made, unit = make(bundle, RESOURCES)
    container = systemd.up(made)
    assert shown(unit, *SHOWN) == SHOWN
    assert dict(zip(FILES, files(unit, *FILES), strict=True)) == FILES
    subprocess.run(["systemctl", "daemon-reload"], check=True)
    # systemd's own idea of a quota is in per cent, and never less than was asked for.
    after = {**FILES, "cpu.max": "34000 100000"}
    for name, value in zip(FILES, files(unit, *FILES), strict=True):
        assert value in (FILES[name], after[name])
    assert systemd.status(container) == "running"


@needs_systemd
def test_tiny_limits(systemd: Runtime, bundle: MakeBundle) -> None:
    made, _ = make(bundle, {"memory": {"limit": 512 * 1024}, "pids": {"limit": 1}})
    container = systemd.create(made).check().container
    assert systemd.status(container) == "created"
    systemd.start(container).check()


@needs_systemd
@pytest.mark.parametrize("allow", [False, True], ids=["nothing but", "everything but"])
def test_devices_after_a_reload(systemd: Runtime, bundle: MakeBundle, allow: bool) -> None:
    fuse = {"type": "c", "major": 10, "minor": 229, "access": "rw"}
    rules = [{"allow": allow, "access": "rwm"}, {"allow": not allow, **fuse}]
    made, _ = make(bundle, {"devices": rules})
    made.add_capabilities("CAP_SYSLOG")
    container = systemd.up(made)
    wanted = {"kmsg0": allow, "fuse0": not allow, "null": True}
    if allow and LAYOUT.mode != "v2":
        # systemd has no words for "everything but": whenever it is reloaded, also by another test,
        # it leaves the default devices.
        del wanted["kmsg0"]
    script = (
        "mknod /dev/kmsg0 c 1 11; mknod /dev/fuse0 c 10 229;"
        f"for d in {' '.join(wanted)}; do (: </dev/$d) 2>&1 | grep -q permitted || echo $d; done;"
        "rm /dev/kmsg0 /dev/fuse0"
    )
    for _ in range(2):
        result = systemd.exec(container, "sh", "-c", script)
        assert result.check().stdout.split() == [name for name, may in wanted.items() if may]
        subprocess.run(["systemctl", "daemon-reload"], check=True)


@needs_systemd
def test_active_unit(systemd: Runtime, bundle: MakeBundle) -> None:
    """Whose name is taken fails, and does no harm to the owner."""
    made, unit = make(bundle)
    container = systemd.up(made)
    assert_clear(systemd, systemd.create(made), unit, "active", "another name")
    assert systemd.status(container) == "running"
    assert shown(unit, "ActiveState") == {"ActiveState": "active"}
    systemd.failed.clear()


@needs_systemd
def test_without_a_bus(systemd: Runtime, bundle: MakeBundle) -> None:
    """root speaks to systemd itself then."""
    made, unit = make(bundle, {"pids": {"limit": 20}})
    nobus = {"DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/nowhere"}
    container = systemd.create(made, env=nobus).check().container
    assert shown(unit, "TasksMax") == {"TasksMax": "20"}
    systemd.call("update", "--pids-limit", "30", container, env=nobus).check()
    assert shown(unit, "TasksMax") == {"TasksMax": "30"}
    systemd.delete(container, "--force", env=nobus).check()
    assert units(unit) == []


@needs_systemd
@pytest.mark.parametrize(
    ("version", "wanted", "told"), [("1.2.0", "max", "infinity"), ("1.3.0", "0", "1")]
)
def test_no_tasks(
    systemd: Runtime, bundle: MakeBundle, version: str, wanted: str, told: str
) -> None:
    made, unit = make(bundle, {"pids": {"limit": 0}})
    pid = systemd.pid(systemd.up(made.set("/ociVersion", version)))
    assert shown(unit, "TasksMax") == {"TasksMax": told}
    place = LAYOUT.find("pids")
    assert place is not None
    own = Path(f"{place.mountpoint}/system.slice/{unit}/pids.max")
    assert own.read_text().strip() == wanted
    assert pid


@needs_systemd
@needs_v2
def test_shares_of_an_idle_cgroup(systemd: Runtime, bundle: MakeBundle) -> None:
    made, unit = make(bundle, {"cpu": {"shares": 512, "idle": 1}})
    systemd.up(made)
    assert files(unit, "cpu.idle") == ["1"]


@needs_systemd
@needs_v2
def test_resource_controls_by_annotation(systemd: Runtime, bundle: MakeBundle) -> None:
    made, unit = make(bundle)
    made.set("/annotations", {"org.systemd.property.MemoryHigh": f"uint64 {64 * MIB}"})
    systemd.up(made)
    assert files(unit, "memory.high") == [str(64 * MIB)]


@needs_systemd
@needs_v2
def test_exec_where_the_cgroup_is_the_container_s(systemd: Runtime, bundle: MakeBundle) -> None:
    made, _ = make(bundle)
    made.add_namespace("user")
    for kind in ("uidMappings", "gidMappings"):
        made.set(f"/linux/{kind}", [{"containerID": 0, "hostID": 100000, "size": 65536}])
    made.mount("/sys/fs/cgroup")["options"] = ["rw", "nosuid", "noexec", "nodev"]
    made.rootfs.chmod(0o755)
    container = systemd.up(made)
    assert systemd.exec(container, "cat", "/proc/self/cgroup").check().stdout == "0::/\n"


@needs_systemd
def test_failed_unit_makes_way(systemd: Runtime, bundle: MakeBundle) -> None:
    made, unit = make(bundle)
    command = ["systemd-run", "--scope", f"--unit={unit}", "--property=RuntimeMaxSec=1"]
    subprocess.run([*command, "sleep", "100"], check=False, capture_output=True)
    assert shown(unit, "ActiveState") == {"ActiveState": "failed"}
    systemd.up(made)


@needs_systemd
def test_failing_create_leaves_no_unit(systemd: Runtime, bundle: MakeBundle) -> None:
    made, unit = make(bundle)
    made.config["hooks"] = {"createRuntime": [{"path": "/bin/false"}]}
    assert not systemd.create(made).ok
    assert units(unit) == []


@needs_systemd
@needs_v2
def test_refused_limit(systemd: Runtime, bundle: MakeBundle) -> None:
    made, unit = make(bundle, {"cpu": {"cpus": "4000"}})
    assert_clear(systemd, systemd.create(made), "cpuset.cpus", "4000")
    assert units(unit) == []


@needs_systemd
def test_delete_of_a_half_made_unit(sandbox: Sandbox) -> None:
    """Its maker was killed before it could note that the unit was started."""
    unit = f"t-{sandbox.new_id()}.scope"
    command = ["systemd-run", "--scope", f"--unit={unit}", "--description=made by me"]
    process = subprocess.Popen([*command, "sleep", "100"], stderr=subprocess.DEVNULL)
    while not units(unit):
        time.sleep(0.05)
    state: dict[str, Any] = {
        "mode": LAYOUT.mode,
        "paths": {h.key: f"{h.mountpoint}/system.slice/{unit}" for h in LAYOUT.hierarchies},
        "mountpoints": {h.key: h.mountpoint for h in LAYOUT.hierarchies},
        "existing": {h.key: 1 for h in LAYOUT.hierarchies},
        "unit": {
            "name": unit, "slice": "system.slice", "root": "/", "user": False,
            "description": "made by somebody else", "started": False,
        },
    }  # fmt: skip
    open_group(Kernel(), Placement.from_state(state)).remove(0.1)
    assert shown(unit, "ActiveState") == {"ActiveState": "active"}
    state["unit"]["description"] = "made by me"
    open_group(Kernel(), Placement.from_state(state)).remove(kill=True)
    assert units(unit) == []
    assert process.wait(TIMEOUT) != 0


# Annotation -> its value, and what systemd shows of it.
ANNOTATIONS = {
    "CollectMode": ("'inactive-or-failed'", "inactive-or-failed"),
    "Documentation": ("['https://example.com/']", "https://example.com/"),
    "KillMode": ("'mixed'", "mixed"),
    "KillSignal": ("int32 10", "10"),
    "ManagedOOMPreference": ("'avoid'", "avoid"),
    "PartOf": ("['t-nothing.service']", "t-nothing.service"),
    "RuntimeMaxUSec": ("uint64 5000000000", "1h 23min 20s"),
    "SendSIGHUP": ("true", "yes"),
    "SendSIGKILL": ("false", "no"),
    "TimeoutStopSec": ("123", "2min 3s"),
}


@needs_systemd
def test_annotations(systemd: Runtime, bundle: MakeBundle) -> None:
    made, unit = make(bundle)
    made.config["annotations"] = {
        f"org.systemd.property.{name}": text for name, (text, _) in ANNOTATIONS.items()
    }
    systemd.up(made)
    wanted = {
        name.replace("StopSec", "StopUSec"): value for name, (_, value) in ANNOTATIONS.items()
    }
    assert shown(unit, *wanted) == wanted


@needs_systemd
def test_forbidden_annotation(systemd: Runtime, bundle: MakeBundle) -> None:
    made, unit = make(bundle)
    made.config["annotations"] = {"org.systemd.property.OnFailure": "['reboot.target']"}
    assert_clear(systemd, systemd.create(made), "OnFailure", "not for a container")
    assert units(unit) == []


@needs_systemd
def test_wrong_path(systemd: Runtime, bundle: MakeBundle) -> None:
    made, _ = make(bundle)
    made.config["linux"]["cgroupsPath"] = "/a/b"
    assert_clear(systemd, systemd.create(made), "slice:prefix:name", "--systemd-cgroup")


@needs_systemd
def test_slice(systemd: Runtime, bundle: MakeBundle, sandbox: Sandbox) -> None:
    """A nested slice, made for the container, and gone with it."""
    top = sandbox.prefix.replace("-", "")
    made, _ = make(bundle)
    made.config["linux"]["cgroupsPath"] = f"{top}-sub.slice:t:{made.path.name}"
    container = systemd.up(made)
    pid = systemd.pid(container)
    path = f"/{top}.slice/{top}-sub.slice/t-{made.path.name}.scope"
    assert path in Path(f"/proc/{pid}/cgroup").read_text()
    systemd.delete(container, "--force").check()
    for name in (f"{top}-sub.slice", f"{top}.slice"):
        subprocess.run(["systemctl", "stop", name], check=True)
