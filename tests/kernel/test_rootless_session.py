"""Rootless in a session: with the user's systemd, and with a cgroup that was delegated to the user.

`make vm-test` runs these: they need a user, whose systemd hands controllers on, and the program
`as-user` of tests/vm, which starts a command in that user's session.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.sandbox import MARKER
from tests.support.verdict import assert_clear

if TYPE_CHECKING:
    from tests.support.bundle import Bundle
    from tests.support.runtime import Result, Runtime
    from tests.support.sandbox import Sandbox

MakeBundle = Callable[..., "Bundle"]
UID = 1000
pytestmark = pytest.mark.skipif(shutil.which("as-user") is None, reason="not tests/vm's machine")
MIB = 1 << 20
LIMITS = {
    "memory": {"limit": 64 * MIB, "swap": 96 * MIB, "reservation": 32 * MIB},
    "cpu": {"shares": 1024, "quota": 50_000, "period": 100_000},
    "pids": {"limit": 33},
}
FILES = {
    "memory.max": str(64 * MIB), "memory.swap.max": str(32 * MIB), "memory.low": str(32 * MIB),
    "cpu.weight": "100", "cpu.max": "50000 100000", "pids.max": "33",
}  # fmt: skip

# Every verb on one container; prints what `told` reads.
LIFE = """
    rt create --bundle "$BUNDLE" "$ID" </dev/null >"$BUNDLE/log" 2>&1 ||
        { cat "$BUNDLE/log"; exit 9; }
    rt start "$ID"
    cgroup=$(cgroup_of)
    for file in $FILES; do echo "$file $(cat "$cgroup/$file")"; done
    echo "owner $(stat -c %u "$cgroup")"
    echo "exec $(rt exec "$ID" cat /proc/self/cgroup)"
    rt update --pids-limit 44 --memory 80M --memory-swap 80M "$ID"
    echo "updated $(cat "$cgroup/pids.max" "$cgroup/memory.max" "$cgroup/memory.swap.max" | xargs)"
    rt pause "$ID"; echo "paused $(grep frozen "$cgroup/cgroup.events")"
    rt resume "$ID"; echo "resumed $(grep frozen "$cgroup/cgroup.events")"
    echo "stats $(rt events --stats "$ID")"
    echo "ps $(rt ps --format json "$ID")"
    rt kill "$ID" KILL
    rt delete --force "$ID"
    test ! -e "$cgroup" && echo "gone $cgroup"
"""
SYSTEMD = """
    set -eu
    rt() { "$RUNTIME" --root "$STATE" --systemd-cgroup "$@"; }
    cgroup_of() {
        echo "/sys/fs/cgroup$(systemctl --user show --property=ControlGroup --value "$UNIT")"
        systemctl --user show --property=MemoryMax,MemorySwapMax,TasksMax,CPUWeight "$UNIT" >&2
    }
"""
LEFT = """
    systemctl --user list-units --all --plain --no-legend "$UNIT"
"""
PLAIN = """
    set -eu
    own=$(dirname "$(cut -d: -f3 /proc/self/cgroup)")
    rt() { "$RUNTIME" --root "$STATE" "$@"; }
    cgroup_of() { echo "/sys/fs/cgroup$own/$WANTED"; }
    sed -i "s:@OWN@:$own:" "$BUNDLE/config.json"
"""


class Session:
    """The user, with a bundle of his own."""

    def __init__(self, runtime: Runtime, sandbox: Sandbox, bundle: Bundle) -> None:
        self.runtime = runtime
        self.sandbox = sandbox
        self.bundle = bundle
        self.state = sandbox.directory / "state-of-user"
        self.state.mkdir()
        made = runtime.call("spec", "--rootless", cwd=bundle.path).check()
        assert made.ok
        marker = bundle.config["process"]["env"][-1]
        config: dict[str, Any] = json.loads((bundle.path / "config.json").read_text())
        config["process"].update(terminal=False, args=["sleep", "1000"])
        config["process"]["env"].append(marker)
        for kind in ("uidMappings", "gidMappings"):
            config["linux"][kind] = [{"containerID": 0, "hostID": UID, "size": 1}]
        bundle.config = config
        self.prefix: tuple[str, ...] = ("as-user",)

    def run(self, script: str, **variables: str) -> Result:
        """Run a shell script in the user's session."""
        self.bundle.write()
        for parent, names, files in os.walk(self.sandbox.directory):
            if Path(parent).is_relative_to(self.bundle.path) or parent == str(self.state):
                for path in (parent, *(os.path.join(parent, x) for x in (*names, *files))):
                    os.lchown(path, UID, UID)
        environment = {
            MARKER: self.sandbox.prefix, "RUNTIME": str(self.runtime.binary),
            "STATE": str(self.state), "BUNDLE": str(self.bundle.path), "ID": self.bundle.name,
            "FILES": " ".join(FILES), **variables,
        }  # fmt: skip
        words = [f"{name}={value}" for name, value in environment.items()]
        # What `call` puts behind it are arguments of the script's, which it does not use.
        return self.runtime.call(wrapper=(*self.prefix, "env", *words, "sh", "-c", script, "sh"))


@pytest.fixture
def session(runtime: Runtime, sandbox: Sandbox, bundle: MakeBundle) -> Session:
    if not runtime.is_ours:
        pytest.skip("runs ociruntime's own rootless config")
    return Session(runtime, sandbox, bundle())


def told(result: Result) -> dict[str, str]:
    """What LIFE prints, by its first word."""
    lines = [line.partition(" ") for line in result.check().stdout.splitlines()]
    return {word: rest for word, _, rest in lines}


def assert_life(found: dict[str, str]) -> None:
    assert {name: found[name] for name in FILES} == FILES
    assert found["owner"] == str(UID)
    assert found["exec"].startswith("0::/")
    assert found["updated"] == f"44 {80 * MIB} 0"
    assert (found["paused"], found["resumed"]) == ("frozen 1", "frozen 0")
    data = json.loads(found["stats"])["data"]
    assert data["memory"]["usage"]["limit"] == 80 * MIB
    assert data["pids"] == {"current": 1, "limit": 44}
    assert len(json.loads(found["ps"])) == 1
    assert "gone" in found


def test_the_users_systemd(session: Session) -> None:
    session.bundle.set("/linux/resources", LIMITS)
    unit = f"ociruntime-{session.bundle.name}.scope"
    result = session.run(SYSTEMD + LIFE + LEFT, UNIT=unit)
    found = told(result)
    assert_life(found)
    assert f"user@{UID}.service/user.slice/{unit}" in found["gone"]
    # systemd was told the same.
    for line in (f"MemoryMax={64 * MIB}", f"MemorySwapMax={32 * MIB}", "TasksMax=33"):
        assert line in result.stderr.splitlines()
    assert unit not in found


def test_from_a_login_session(session: Session) -> None:
    """Whose processes the user may not move: his systemd does it."""
    session.bundle.set("/linux/resources", LIMITS)
    unit = f"ociruntime-{session.bundle.name}.scope"
    log_in(session)
    found = told(session.run(SYSTEMD + LIFE + LEFT, UNIT=unit))
    assert_life(found)
    assert unit not in found


def log_in(session: Session) -> None:
    """Have scripts run in a login session."""
    session.run("true").check()  # starts the user's systemd
    # The tests' mount namespace is older than /run/user/UID.
    session.prefix = (
        "nsenter", "--mount=/proc/1/ns/mnt", "--", "systemd-run", "--quiet", "--scope",
        f"--uid={UID}", f"--gid={UID}",
        "env", f"XDG_RUNTIME_DIR=/run/user/{UID}",
    )  # fmt: skip


@pytest.mark.parametrize("login", [False, True], ids=["service", "login"])
def test_cgroups_below_the_unit(session: Session, login: bool) -> None:
    """run.oci.systemd.subgroup and run.oci.delegate-cgroup, as for root: every verb works."""
    annotations = {"run.oci.systemd.subgroup": "sub", "run.oci.delegate-cgroup": "own"}
    session.bundle.set("/annotations", annotations).set("/linux/resources", LIMITS)
    unit = f"ociruntime-{session.bundle.name}.scope"
    if login:
        log_in(session)
    below = SYSTEMD.replace('"$UNIT")"', '"$UNIT")/sub"')
    found = told(session.run(below + LIFE + LEFT, UNIT=unit))
    assert_life(found)
    assert found["gone"].endswith(f"/{unit}/sub")
    assert found["exec"].endswith("/own")
    assert unit not in found


def test_a_delegated_cgroup(session: Session) -> None:
    """The same with the cgroupfs driver."""
    name = session.bundle.name
    session.bundle.set("/annotations", {"run.oci.delegate-cgroup": "own"})
    session.bundle.set("/linux/cgroupsPath", f"@OWN@/{name}").set("/linux/resources", LIMITS)
    found = told(session.run(PLAIN + LIFE, WANTED=name))
    assert_life(found)
    assert found["exec"].endswith("/own")


@pytest.mark.parametrize("path", ["@OWN@/{}", "{}", None], ids=["absolute", "relative", "absent"])
def test_plain_delegation(session: Session, path: str | None) -> None:
    """The cgroupfs driver in a cgroup that somebody has handed to the user."""
    name = session.bundle.name
    session.bundle.config["linux"].pop("cgroupsPath", None)
    if path is not None:
        session.bundle.set("/linux/cgroupsPath", path.format(name))
    session.bundle.set("/linux/resources", LIMITS)
    wanted = f"ociruntime-{name}" if path is None else name
    assert_life(told(session.run(PLAIN + LIFE, WANTED=wanted)))


def test_a_controller_that_is_not_delegated(session: Session) -> None:
    """systemd hands no hugetlb to users: named, with who has to do what."""
    session.bundle.set("/linux/resources/hugepageLimits", [{"pageSize": "2MB", "limit": 2 * MIB}])
    script = PLAIN + 'rt run --bundle "$BUNDLE" "$ID"; '
    result = session.run(script, WANTED="")
    assert_clear(session.runtime, result, "hugepageLimits", "hugetlb", "delegate")


def test_a_cgroup_that_is_somebody_elses(session: Session) -> None:
    session.bundle.set("/linux/cgroupsPath", f"/ocirt-test/{session.bundle.name}")
    result = session.run(PLAIN + 'rt run --bundle "$BUNDLE" "$ID"', WANTED="")
    assert_clear(session.runtime, result, "cgroup", "EACCES", "delegated to you")
