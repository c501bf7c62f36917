"""startContainer hooks are programs of the image: they are what the container's process is, and
never more (runtime.md, "Lifecycle", step 7).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ociruntime.api import Runtime as Library
from tests.kernel.test_namespaces import with_user_namespace
from tests.support.runtime import TIMEOUT
from tests.support.seccomp import profile, rule

if TYPE_CHECKING:
    from tests.support.bundle import Bundle
    from tests.support.runtime import Runtime
    from tests.support.sandbox import Sandbox

MakeBundle = Callable[..., "Bundle"]
# What a process can see of itself; $0 tells nothing of it.
LOOK = """
id
grep -E '^(Cap|NoNewPrivs|Seccomp:|Groups|Cpus_allowed:|Sig(Ign|Blk|Cgt))' /proc/self/status
umask
pwd
env | grep -v -E '^(_|SHLVL|PWD|OLDPWD)=' | sort
cat /proc/self/limits /proc/self/oom_score_adj /proc/self/cgroup
for ns in cgroup ipc mnt net pid user uts; do readlink /proc/self/ns/$ns; done
ls /proc/self/fd | wc -l
cut -d ' ' -f 19,41 /proc/self/stat
"""
IDENTITIES: dict[str, dict[str, Any]] = {
    "a user": {
        "user": {"uid": 1000, "gid": 1001, "additionalGids": [5, 6], "umask": 0o27},
        "cwd": "/tmp",
        "noNewPrivileges": True,
        "oomScoreAdj": 123,
        "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 99, "soft": 88}],
    },
    "root": {"user": {"uid": 0, "gid": 0}},
    "root without capabilities": {"user": {"uid": 0, "gid": 0}, "capabilities": {}},
    "nice": {
        "user": {"uid": 7, "gid": 7},
        "scheduler": {"policy": "SCHED_BATCH", "nice": 5},
        "ioPriority": {"class": "IOPRIO_CLASS_IDLE", "priority": 0},
    },
}


def hooked(made: Bundle, script: str = LOOK, **hook: object) -> Bundle:
    """Program and hook do the same; each leaves what it saw in a file of /work."""
    for name in ("program", "hook"):
        path = made.rootfs / name
        path.write_text(f"#!/bin/sh\n({script}) >/work/{name} 2>&1\n")
        path.chmod(0o755)
    (made.rootfs / "work").mkdir()
    (made.rootfs / "work").chmod(0o777)
    (made.rootfs / "tmp").chmod(0o777)
    made.args = ["/program"]
    return made.set("/hooks", {"startContainer": [{"path": "/hook", **hook}]})


def saw(made: Bundle, who: str) -> str:
    return (made.rootfs / "work" / who).read_text()


def assert_equal(made: Bundle) -> str:
    assert saw(made, "hook") == saw(made, "program")
    return saw(made, "hook")


@pytest.mark.parametrize("name", IDENTITIES)
def test_identity(runtime: Runtime, bundle: MakeBundle, name: str) -> None:
    made = hooked(bundle())
    made.config["process"].update(IDENTITIES[name])
    made.config["linux"]["seccomp"] = profile("ALLOW", rule("mkdir mkdirat", "ERRNO", errnoRet=18))
    runtime.run(made).check()
    said = assert_equal(made)
    assert "Seccomp:\t2" in said
    assert f"uid={IDENTITIES[name]['user']['uid']}" in said
    assert "HOME=/" in said


def test_in_a_user_namespace(runtime: Runtime, bundle: MakeBundle) -> None:
    made = hooked(with_user_namespace(bundle()))
    made.config["process"].update(IDENTITIES["a user"])
    os.chown(made.rootfs, 100_000, 100_000)
    runtime.run(made).check()
    assert "uid=1000" in assert_equal(made)


def test_own_environment(runtime: Runtime, bundle: MakeBundle) -> None:
    made = hooked(bundle(), env=["A=1", "PATH=/bin"])
    runtime.run(made).check()
    assert "\nA=1\nPATH=/bin\n" in saw(made, "hook")
    assert "HOME=" not in saw(made, "hook")


def test_path_and_name_differ(runtime: Runtime, bundle: MakeBundle) -> None:
    """path is what is executed, args is what it is told."""
    made = hooked(bundle())
    script = 'echo "$0 $# $2" >/work/hook'
    hook = {"path": "/bin/busybox", "args": ["sh", "-c", script, "zero", "one", "two"]}
    made.set("/hooks/startContainer", [hook])
    runtime.run(made).check()
    assert saw(made, "hook") == "zero 2 two\n"


@pytest.mark.parametrize("seconds", [None, 1])
def test_words_and_timeout(runtime: Runtime, bundle: MakeBundle, seconds: int | None) -> None:
    made = bundle(args=["sleep", "100"])
    script = "echo it said; exec sleep 100" if seconds else "echo it said; exit 3"
    hook: dict[str, object] = {"path": "/bin/sh", "args": ["sh", "-c", script]}
    if seconds:
        hook["timeout"] = seconds
    made.set("/hooks", {"startContainer": [hook]})
    container = runtime.create(made).check().container
    result = runtime.start(container)
    assert not result.ok
    if runtime.is_ours:
        for word in ("hooks.startContainer[0] /bin/sh", "it said"):
            assert word in result.stderr
        assert ("timeout of 1 s" if seconds else "status 3") in result.stderr
    runtime.created.remove(container)


def test_what_cannot_be_run(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle(args=["sleep", "100"]).set("/hooks", {"startContainer": [{"path": "/nothing"}]})
    container = runtime.create(made).check().container
    result = runtime.start(container)
    runtime.created.remove(container)
    assert not result.ok
    assert "/nothing" in result.stderr
    assert not runtime.state(container).ok


def test_of_the_library(library: Library, sandbox: Sandbox, bundle: MakeBundle) -> None:
    """Its zygote starts containers in a process that serves many."""
    made = hooked(bundle())
    made.config["process"].update(IDENTITIES["a user"])
    with library.run(made.write().path, sandbox.new_id()) as container:
        container.wait(TIMEOUT)
    assert "uid=1000" in assert_equal(made)


def test_output_to_a_file_of_the_host(
    runtime: Runtime, bundle: MakeBundle, tmp_path: Path
) -> None:
    """The file is opened by the host, and stays the host's (CVE-2026-88265)."""
    output = tmp_path / "output"
    made = hooked(bundle(), "echo said")
    made.config["process"].update(IDENTITIES["a user"])
    made.set("/annotations", {"run.oci.hooks.stdout": str(output)})
    script = "echo said"
    made.set("/hooks/startContainer", [{"path": "/bin/sh", "args": ["sh", "-c", script]}])
    runtime.run(made).check()
    if runtime.is_ours:
        assert output.read_text() == "said\n"
        assert output.stat().st_uid == os.getuid()
