"""Security labels (config.md, "Linux Process"; config-linux.md, "Mount Label").

What happens with a label is tested where the host has the security module; everywhere, that a label
which the host cannot enforce is an error.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.apparmor import APPARMOR, loaded
from tests.support.bundle import Bundle
from tests.support.runtime import Runtime
from tests.support.sandbox import Sandbox
from tests.support.verdict import assert_clear

MakeBundle = Callable[..., Bundle]
SELINUX = "selinuxfs" in Path("/proc/filesystems").read_text().split()
CONTEXT = "system_u:object_r:container_file_t:s0:c1,c2"
USER_NAMESPACE = [{"containerID": 0, "hostID": 100_000, "size": 65536}]


@pytest.mark.skipif(APPARMOR, reason="this host has AppArmor")
def test_no_apparmor(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle().set("/process/apparmorProfile", "nothing-like-it")
    assert_clear(runtime, runtime.create(made), "apparmor", "nothing-like-it", "enabled")


@pytest.mark.skipif(SELINUX, reason="this host has SELinux")
@pytest.mark.parametrize("pointer", ["/process/selinuxLabel", "/linux/mountLabel"])
def test_no_selinux(runtime: Runtime, bundle: MakeBundle, pointer: str) -> None:
    made = bundle().set(pointer, CONTEXT)
    assert_clear(runtime, runtime.create(made), pointer.rpartition("/")[2], "SELinux", "enabled")


@pytest.mark.skipif(APPARMOR, reason="this host has AppArmor")
def test_no_apparmor_for_exec(runtime: Runtime, bundle: MakeBundle) -> None:
    container = runtime.up(bundle(["sleep", "100"]))
    result = runtime.exec(container, "true", options=["--apparmor", "nothing-like-it"])
    assert_clear(runtime, result, "apparmor", "nothing-like-it", status=255)


needs_apparmor = pytest.mark.skipif(not APPARMOR, reason="this host has no AppArmor")


@needs_apparmor
@pytest.mark.parametrize("user_namespace", [False, True])
def test_apparmor(runtime: Runtime, bundle: MakeBundle, user_namespace: bool) -> None:
    made = bundle().set("/process/apparmorProfile", "unconfined")
    if user_namespace:
        made.add_namespace("user").set("/linux/uidMappings", USER_NAMESPACE)
        made.set("/linux/gidMappings", USER_NAMESPACE)
    assert runtime.run_output(made, ["cat", "/proc/self/attr/current"]).startswith("unconfined")


ATTEMPT = (
    "cat /proc/self/attr/current; echo >/tmp/allowed && echo allowed;"
    " (echo >/tmp/denied) 2>/dev/null || echo denied"
)


@pytest.fixture
def profile(sandbox: Sandbox) -> Iterator[str]:
    """The name of a loaded profile, which lets everything pass but writing to /tmp/denied."""
    with loaded(sandbox.prefix) as name:
        yield name


@needs_apparmor
@pytest.mark.parametrize("no_new_privileges", [False, True])
@pytest.mark.parametrize("user_namespace", [False, True])
def test_profile_confines(
    runtime: Runtime,
    bundle: MakeBundle,
    profile: str,
    user_namespace: bool,
    no_new_privileges: bool,
) -> None:
    made = bundle().set("/process/apparmorProfile", profile)
    made.set("/process/noNewPrivileges", no_new_privileges)
    made.add_mount("/tmp", "tmpfs", "tmpfs", ["mode=1777"])
    if user_namespace:
        made.add_namespace("user").set("/linux/uidMappings", USER_NAMESPACE)
        made.set("/linux/gidMappings", USER_NAMESPACE)
    expected = [f"{profile} (enforce)", "allowed", "denied"]
    assert runtime.run_output(made, ATTEMPT).splitlines() == expected
    # exec has the container's profile, or that of its own option.
    made.args = ["sleep", "100"]
    container = runtime.up(made)
    shown = runtime.exec(container, "sh", "-c", ATTEMPT).check().stdout
    assert shown.splitlines() == expected
    options = ["--apparmor", "unconfined"]
    if not no_new_privileges:
        shown = runtime.exec(container, "sh", "-c", ATTEMPT, options=options).check().stdout
        assert shown.splitlines() == ["unconfined", "allowed"]


@needs_apparmor
def test_profile_for_exec_alone(runtime: Runtime, bundle: MakeBundle, profile: str) -> None:
    container = runtime.up(bundle(["sleep", "100"]).add_mount("/tmp", "tmpfs", "tmpfs"))
    shown = runtime.exec(container, "sh", "-c", ATTEMPT, options=["--apparmor", profile])
    assert shown.check().stdout.splitlines() == [f"{profile} (enforce)", "allowed", "denied"]


@needs_apparmor
def test_process_file_keeps_the_profile(
    runtime: Runtime, bundle: MakeBundle, profile: str, sandbox: Sandbox
) -> None:
    """A process that speaks of no profile is not unconfined."""
    made = bundle(["sleep", "100"]).set("/process/apparmorProfile", profile)
    container = runtime.up(made)
    file = sandbox.directory / "process.json"
    wanted = {"args": ["cat", "/proc/self/attr/current"], "cwd": "/", "env": ["PATH=/bin"]}
    file.write_text(json.dumps(wanted))
    shown = runtime.exec(container, options=["--process", str(file)]).check().stdout
    assert shown == f"{profile} (enforce)\n"


@needs_apparmor
def test_unknown_profile(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle().set("/process/apparmorProfile", "nothing-like-it")
    assert_clear(runtime, runtime.create(made), "apparmor", "nothing-like-it", "apparmor_parser")


@needs_apparmor
def test_profile_of_exec(runtime: Runtime, bundle: MakeBundle) -> None:
    container = runtime.up(bundle(["sleep", "100"]))
    arguments = ["cat", "/proc/self/attr/current"]
    result = runtime.exec(container, *arguments, options=["--apparmor", "unconfined"])
    assert result.check().stdout.startswith("unconfined")


# A mount namespace in which the host seems to have the module: the check passes, the kernel cannot.
PRETEND = {
    "apparmorProfile": "mount -t tmpfs none /sys/module && mkdir -p /sys/module/apparmor/parameters"
    " && echo Y >/sys/module/apparmor/parameters/enabled",
    "selinuxLabel": "mount -t tmpfs none /sys/module && echo 'nodev selinuxfs' >/sys/module/list"
    " && mount --bind /sys/module/list /proc/filesystems",
}


@pytest.mark.skipif(APPARMOR or SELINUX, reason="this host has a security module")
@pytest.mark.parametrize("user_namespace", [False, True])
@pytest.mark.parametrize("name", PRETEND)
def test_label_that_cannot_be_set(
    runtime: Runtime, bundle: MakeBundle, name: str, user_namespace: bool
) -> None:
    """The kernel itself refuses the label: the program must not run without it."""
    made = bundle(["echo", "unconfined"]).set(f"/process/{name}", "label")
    if user_namespace:
        made.add_namespace("user").set("/linux/uidMappings", USER_NAMESPACE)
        made.set("/linux/gidMappings", USER_NAMESPACE)
        # Where the host's are covered, nobody may mount new ones in a user namespace.
        made.drop_mounts("/sys", "/proc")
    script = f'{PRETEND[name]} && exec "$@"'
    wrapper = ("unshare", "--mount", "sh", "-c", script, "sh")
    result = runtime.run(made, wrapper=wrapper)
    assert_clear(runtime, result, "security label")
    assert "unconfined" not in result.stdout
