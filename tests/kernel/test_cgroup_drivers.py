"""One table for both ways of making a cgroup: what the one refuses or accepts, so does the other.

The values that runc and we set by either are compared in test_cgroup_runc.py. Without systemd the
half of it is skipped by name; `make vm-test` has both, on cgroup v2 and on hybrid hosts.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ociruntime.cgroups.detect import detect
from ociruntime.kernel.kernel import Kernel
from tests.support.verdict import assert_clear

if TYPE_CHECKING:
    from tests.support.bundle import Bundle
    from tests.support.runtime import Runtime

MakeBundle = Callable[..., "Bundle"]
SYSTEMD = Path("/run/systemd/system").is_dir() and Path("/run/dbus/system_bus_socket").exists()
LAYOUT = detect(Kernel())
V2 = LAYOUT.mode == "v2"
MIB = 1 << 20
SLEEP = ["sleep", "1000"]
Resources = dict[str, Any]


class Driver:
    """The runtime with one of the drivers."""

    def __init__(self, runtime: Runtime, make: MakeBundle, name: str) -> None:
        self.runtime, self.make, self.name = runtime, make, name
        if name == "systemd":
            runtime.global_options = ("--systemd-cgroup",)

    def bundle(self, resources: Resources | None = None) -> Bundle:
        made: Bundle = self.make(SLEEP)
        if self.name == "systemd":
            made.set("/linux/cgroupsPath", f"system.slice:t:{made.path.name}")
        if resources is not None:
            made.set("/linux/resources", resources)
        return made

    def places(self, made: Bundle) -> dict[str, Path]:
        """The container's cgroups by hierarchy."""
        own = made.config["linux"]["cgroupsPath"].lstrip("/")
        if self.name == "systemd":
            own = f"system.slice/t-{made.path.name}.scope"
        return {item.key: Path(item.mountpoint, own) for item in LAYOUT.hierarchies}

    def values(self, made: Bundle, controller: str) -> dict[str, str]:
        """What can be set of a controller, as it is."""
        item = LAYOUT.find(controller)
        assert item is not None
        files = sorted(self.places(made)[item.key].glob(f"{controller}.*"))
        return {
            path.name: path.read_text()
            for path in files
            if path.stat().st_mode & 0o600 == 0o600 and not path.name.endswith("pressure")
        }


@pytest.fixture(params=["cgroupfs", "systemd"])
def driver(
    request: pytest.FixtureRequest, runtime: Runtime, bundle: MakeBundle
) -> Iterator[Driver]:
    if request.param == "systemd" and not SYSTEMD:
        pytest.skip("systemd does not run here")
    if not runtime.is_ours:
        pytest.skip("the words are ours")
    yield Driver(runtime, bundle, request.param)
    runtime.remove_all()


# Resources, and what the refusal names.
REFUSED: dict[str, tuple[Resources, str]] = {
    "cpus that are not there": ({"cpu": {"cpus": "900"}}, "linux.resources.cpu.cpus"),
    "mems that are not there": ({"cpu": {"mems": "900"}}, "linux.resources.cpu.mems"),
    "pids beyond all": ({"pids": {"limit": 1 << 62}}, "linux.resources.pids.limit"),
    "a size of pages": (
        {"hugepageLimits": [{"pageSize": "3MB", "limit": 0}]},
        "linux.resources.hugepageLimits[0]",
    ),
    "a file that is not there": ({"unified": {"no.such": "1"}}, "linux.resources.unified"),
}
# Beyond what v1 takes: refused there, on v2 the least and the greatest weight (docs/cgroups.md).
BEYOND_V1: dict[str, tuple[Resources, str]] = {
    "few shares": ({"cpu": {"shares": 1}}, "1"),
    "many shares": ({"cpu": {"shares": 1 << 40}}, "10000"),
}
if not V2:
    for name, (resources, _) in BEYOND_V1.items():
        REFUSED[name] = (resources, "linux.resources.cpu.shares")


def test_one_is_there(driver: Driver) -> None:
    """What the tables below look for lies where they look for it."""
    made = driver.bundle({"pids": {"limit": 7}})
    driver.runtime.create(made).check()
    assert driver.values(made, "pids")["pids.max"] == "7\n"


@pytest.mark.parametrize("name", REFUSED)
def test_refused(driver: Driver, name: str) -> None:
    resources, words = REFUSED[name]
    if "hugepageLimits" in resources and LAYOUT.find("hugetlb") is None:
        pytest.skip("no hugetlb controller")
    made = driver.bundle(resources)
    assert_clear(driver.runtime, driver.runtime.create(made), words)
    assert not any(place.exists() for place in driver.places(made).values())


# Version, resources, controller, what its files hold on v1 and on v2.
Accepted = tuple[str, Resources, str, dict[str, str], dict[str, str]]
ACCEPTED: dict[str, Accepted] = {
    "pids.limit 0 as of old": (
        "1.2.1", {"pids": {"limit": 0}}, "pids", {"pids.max": "max"}, {"pids.max": "max"},
    ),
    "pids.limit 0 since 1.3.0": (
        "1.3.0", {"pids": {"limit": 0}}, "pids", {"pids.max": "0"}, {"pids.max": "0"},
    ),
    "pids.limit -1": (
        "1.3.0", {"pids": {"limit": -1}}, "pids", {"pids.max": "max"}, {"pids.max": "max"},
    ),
    "unlimited memory": (
        "1.2.0", {"memory": {"limit": -1, "swap": -1}}, "memory", {}, {"memory.max": "max"},
    ),
    "unlimited cpu": (
        "1.2.0", {"cpu": {"quota": -1}}, "cpu", {"cpu.cfs_quota_us": "-1"},
        {"cpu.max": "max 100000"},
    ),
    "no shares": ("1.2.0", {"cpu": {"shares": 0}}, "cpu", {"cpu.shares": "1024"}, {}),
    "most shares": (
        "1.2.0", {"cpu": {"shares": 262_144}}, "cpu", {"cpu.shares": "262144"},
        {"cpu.weight": "10000"},
    ),
    "a list of cpus with a step": (
        "1.2.0", {"cpu": {"cpus": "0-0:1/2"}}, "cpuset", {"cpuset.cpus": "0"},
        {"cpuset.cpus": "0"},
    ),
    "memory nodes": (
        "1.2.0", {"cpu": {"mems": "0"}}, "cpuset", {"cpuset.mems": "0"}, {"cpuset.mems": "0"},
    ),
}  # fmt: skip
if V2:
    for name, (resources, weight) in BEYOND_V1.items():
        ACCEPTED[name] = ("1.2.0", resources, "cpu", {}, {"cpu.weight": weight})


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted(driver: Driver, name: str) -> None:
    version, resources, controller, of_v1, of_v2 = ACCEPTED[name]
    made = driver.bundle(resources).set("/ociVersion", version)
    driver.runtime.create(made).check()
    found = driver.values(made, controller)
    wanted = of_v2 if V2 else of_v1
    assert {file: found[file].strip() for file in wanted} == wanted


def test_pids_without_a_limit(driver: Driver) -> None:
    """It says as much as no pids at all; what that is, systemd decides (DefaultTasksMax)."""
    said, silent = driver.bundle({"pids": {}}), driver.bundle({})
    for made in (said, silent):
        driver.runtime.create(made).check()
    assert driver.values(said, "pids") == driver.values(silent, "pids")


@pytest.mark.parametrize(
    "name",
    ["pids beyond all", "cpus that are not there", *(one for one in BEYOND_V1 if one in REFUSED)],
)
def test_a_refused_update_changes_nothing(driver: Driver, name: str) -> None:
    resources, words = REFUSED[name]
    made = driver.bundle({"pids": {"limit": 20}, "cpu": {"shares": 512}})
    container = driver.runtime.create(made).check().container
    controllers = ("pids", "cpu", "cpuset")
    before = {one: driver.values(made, one) for one in controllers}
    file = made.path / "resources.json"
    file.write_text(json.dumps({"pids": {"limit": 9}, **resources}))
    result = driver.runtime.call("update", "--resources", str(file), container)
    assert_clear(driver.runtime, result, words)
    assert {one: driver.values(made, one) for one in controllers} == before


@pytest.mark.parametrize(
    ("wish", "words"),
    [("..", "'..'"), ("a/../../b", "'..'"), ("nowhere", "nowhere"), ("nope:x", "nope")],
)
def test_exec_into_another_cgroup(driver: Driver, wish: str, words: str) -> None:
    container = driver.runtime.up(driver.bundle())
    result = driver.runtime.exec(container, "true", options=["--cgroup", wish])
    assert_clear(driver.runtime, result, words, status=255)


@pytest.mark.parametrize("how", ["occupied", "frozen"])
def test_a_cgroup_that_is_there(driver: Driver, how: str) -> None:
    """What is in it is somebody else's; empty and thawed it is taken."""
    made = driver.bundle()
    # Nothing is in the frozen one, and systemd removes empty ones of v1 that it knows nothing of.
    wanted = ("", "freezer", *(("name=systemd", "pids") if how == "occupied" else ()))
    places = [place for key, place in driver.places(made).items() if key in wanted]
    with subprocess.Popen(["sleep", "1000"]) as stranger:
        try:
            for place in places:
                place.mkdir(parents=True)
                files = {"cgroup.freeze": "1", "freezer.state": "FROZEN"}
                if how == "occupied":
                    (place / "cgroup.procs").write_text(str(stranger.pid))
                for file, value in files.items():
                    if how == "frozen" and (place / file).exists():
                        (place / file).write_text(value)
            result = driver.runtime.create(made)
            assert_clear(driver.runtime, result, "not empty" if how == "occupied" else "frozen")
            driver.runtime.failed.clear()
            assert stranger.poll() is None
            assert all(place.is_dir() for place in places)
        finally:
            stranger.kill()
            stranger.wait()
            for place in places:
                with contextlib.suppress(FileNotFoundError):
                    place.rmdir()
    driver.runtime.up(made)


def test_names_that_cannot_be(driver: Driver) -> None:
    made = driver.bundle()
    bad = "system.slice:t:../x" if driver.name == "systemd" else "/ocirt-test/../x"
    made.set("/linux/cgroupsPath", bad)
    assert_clear(driver.runtime, driver.runtime.create(made), "cgroup")
