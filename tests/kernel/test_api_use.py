"""The library used wrongly, which it says at once, and used shortly."""

from __future__ import annotations

import errno
import os
import signal
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from conformance.agent import Agent
from ociruntime import api
from ociruntime.library.errors import refined
from tests.kernel.test_exec import HIERARCHIES, inner_cgroups
from tests.support.patience import PATIENCE
from tests.support.sandbox import Sandbox
from tests.support.seccomp import profile, rule

WORDS = ["sleep", "100"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"memroy": "32M"}, "unknown keyword memroy; did you mean memory"),
        ({"process": {"usr": {}}}, r"/process/usr is no property; did you mean \"user\""),
        ({"linux": {"resources": {"memory": {"max": 1}}}}, "/linux/resources/memory/max is no"),
        ({"memory": 1.5}, "memory: give a number of bytes"),
        ({"cpus": "two"}, "cpus: give a number"),
        ({"pids": "many"}, "pids: give a number"),
        ({"env": ["A=b"]}, "env: give a mapping"),
        ({"env": {"A": 1}}, "names and values are strings"),
        ({"user": "root"}, "user: give a number"),
        ({"user": (1, 2, 3)}, "user: give a number"),
        ({"cwd": Path("/")}, "cwd: give a path"),
        ({"terminal": 1}, "terminal: give True or False"),
        ({"net": 1}, "net: give a string"),
    ],
)
def test_what_nobody_means_is_a_type_error(
    options: dict[str, Any], words: str, tmp_path: Path, oci_rootfs: Path
) -> None:
    with pytest.raises(TypeError, match=words):
        api.Bundle.make(tmp_path / "b", oci_rootfs, WORDS, **options)
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("args", ["sleep 100", b"sleep 100", 7, {"sleep": 100}, ["sleep", 100]])
def test_a_command_is_a_list_of_words(args: Any, tmp_path: Path, oci_rootfs: Path) -> None:
    with pytest.raises(TypeError, match="args"):
        api.Bundle.make(tmp_path / "b", oci_rootfs, args)


def test_one_string_is_told_how_to_be_written(tmp_path: Path, oci_rootfs: Path) -> None:
    with pytest.raises(TypeError, match=r"\['sleep', '1'\], instead of 'sleep 1'"):
        api.Bundle.make(tmp_path / "b", oci_rootfs, "sleep 1")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"memory": "32X"}, "memory: '32X': write bytes"),
        ({"args": []}, "args: give at least the program"),
        ({"memory": -2}, "memory: -2"),
        ({"cpus": 0}, "cpus: 0: give at least 0.01"),
        ({"env": {"A=B": "c"}}, "has no ="),
        ({"publish": "8080:80"}, "needs a network"),
        ({"net": ["host", "bridge"]}, "cannot be combined"),
        ({"net": "bridge", "publish": "80"}, "publish 80: write"),
    ],
)
def test_what_means_nothing_is_a_value_error(
    options: dict[str, Any], words: str, tmp_path: Path, oci_rootfs: Path
) -> None:
    with pytest.raises(ValueError, match=words):
        api.Bundle.make(tmp_path / "b", oci_rootfs, **{"args": WORDS, **options})
    assert not (tmp_path / "b").exists()


def test_wrong_use_of_a_container(library: api.Runtime, oci_rootfs: Path) -> None:
    bundle = library.bundle(oci_rootfs, WORDS)
    anything: Any = bundle.path
    with library.run(bundle) as container:
        wrong: list[tuple[Callable[[], object], type[Exception], str]] = [
            (lambda: library.run(bundle, pidfile="x"), TypeError, "did you mean pid_file"),  # type: ignore[call-arg]
            (lambda: library.run(7), TypeError, "bundle: give a Bundle"),  # type: ignore[arg-type]
            (lambda: library.run(bundle, 7), TypeError, "container_id"),  # type: ignore[arg-type]
            (lambda: library.run(bundle, ""), api.UsageError, "must not be empty"),
            (lambda: library.command("list"), TypeError, "command"),
            (lambda: container.exec("ls -l"), TypeError, r"\['ls', '-l'\]"),
            (lambda: container.exec(["ls"], sdtout=1), TypeError, "stdout"),  # type: ignore[call-arg]
            (lambda: container.exec(["ls"], cgroups="inner"), TypeError, r"\['inner'\]"),
            (lambda: container.exec(["ls"], process={"arg": []}), TypeError, "args"),
            (lambda: container.update({"memroy": {}}), TypeError, '"memory"'),
            (lambda: container.update({"memory": {"limt": 1}}), TypeError, '"limit"'),
            (lambda: container.update("32M"), TypeError, "resources"),  # type: ignore[arg-type]
            (lambda: container.update(mem="32M"), TypeError, "unknown keyword mem"),  # type: ignore[call-arg]
            (lambda: container.update(memory="much"), ValueError, "'much'"),
            (lambda: container.kill("TREM"), ValueError, "unknown signal 'TREM'"),
            (lambda: container.kill(99), ValueError, "unknown signal"),
            (lambda: container.kill(anything), TypeError, "signal"),
            (lambda: next(container.events(0)), ValueError, "interval"),
            (lambda: container.exec([]), ValueError, "at least the program"),
            (lambda: container.wait("5"), TypeError, "timeout: give a number of seconds"),  # type: ignore[arg-type]
            (lambda: container.communicate("text"), TypeError, "data: give bytes, b'text'"),  # type: ignore[arg-type]
            (lambda: container.communicate(timeout="1"), TypeError, "timeout"),  # type: ignore[arg-type]
            (lambda: api.Runtime(7), TypeError, "root"),  # type: ignore[arg-type]
        ]
        for call, kind, words in wrong:
            with pytest.raises(kind, match=words):
                call()
        assert len(library.containers()) == 1


def test_short_keywords(library: api.Runtime, oci_rootfs: Path, sandbox: Sandbox) -> None:
    bundle = library.bundle(
        oci_rootfs,
        ["sh", "-c", "echo $WORD $PWD $(id -u) $(id -g)"],
        memory="32M",
        cpus=0.5,
        pids=20,
        env={"WORD": "w"},
        cwd="/tmp",
        user=(1000, 1001),
        hostname="box",
        process={"noNewPrivileges": False},
    )
    resources = bundle.config["linux"]["resources"]
    assert resources["memory"] == {"limit": 32 << 20}
    assert resources["cpu"] == {"period": 100_000, "quota": 50_000}
    assert resources["pids"] == {"limit": 20}
    assert resources["devices"], "the default devices are still denied"
    assert bundle.validate() == []
    with library.run(bundle, sandbox.new_id(), stdout=api.PIPE) as container:
        assert container.communicate(timeout=PATIENCE)[0] == b"w /tmp 1000 1001\n"


def test_network_by_keyword(library: api.Runtime, oci_rootfs: Path) -> None:
    bundle = library.bundle(oci_rootfs, WORDS, net="bridge", publish=["8080:80"])
    hook = bundle.config["hooks"]["createRuntime"][0]
    assert hook["path"] == os.path.join(os.path.dirname(str(library.launcher)), "ociruntime-net")
    assert hook["args"][1:] == [
        "--network", "bridge", "--publish", "8080:80", "--hostname-from-id",
    ]  # fmt: skip
    host = library.bundle(oci_rootfs, ["true"], net="host")
    assert "network" not in {entry["type"] for entry in host.config["linux"]["namespaces"]}
    with library.run(library.bundle(oci_rootfs, WORDS)) as first:
        joined = library.bundle(oci_rootfs, ["true"], net=f"container:{first.id}")
        with library.run(joined) as second:
            assert second.wait(PATIENCE).ok


def test_signals_by_name(library: api.Runtime, oci_rootfs: Path) -> None:
    script = "trap 'exit 3' USR1; echo ready; while :; do sleep 0.05; done"
    bundle = library.bundle(oci_rootfs, ["sh", "-c", script])
    for name in ("USR1", "sigusr1", signal.SIGUSR1, 10):
        with library.run(bundle, stdout=api.PIPE) as container:
            assert container.stdout is not None
            assert container.stdout.readline() == b"ready\n"
            container.kill(name)
            assert container.wait(PATIENCE).code == 3
    with library.run(bundle, stdout=api.PIPE) as container:
        assert container.stdout is not None
        assert container.stdout.readline() == b"ready\n"
        assert container.process is not None
        container.process.send_signal("USR1")
        assert container.wait(PATIENCE).code == 3


def test_times_are_datetimes(library: api.Runtime, oci_rootfs: Path) -> None:
    began = datetime.now(UTC)
    with library.run(library.bundle(oci_rootfs, ["true"])) as container:
        ended = container.wait(PATIENCE).ended
        created = container.state().created
        assert ended.tzinfo is created.tzinfo is UTC
        assert began - timedelta(milliseconds=20) < created < datetime.now(UTC)
        assert created < ended + timedelta(milliseconds=20)


def test_generated_ids(library: api.Runtime, oci_rootfs: Path) -> None:
    bundle = library.bundle(oci_rootfs, WORDS)
    with library.run(bundle) as first, library.create(bundle) as second:
        assert first.id != second.id
        assert {each.id for each in library.containers()} == {first.id, second.id}
    assert library.containers() == []


def test_errors_by_their_cause(library: api.Runtime, oci_rootfs: Path, tmp_path: Path) -> None:
    for program in ("nothing", "/bin/nothing"):
        with pytest.raises(api.ProgramNotFound, match=program):
            library.run(library.bundle(oci_rootfs, [program]))
    with pytest.raises(api.PermissionDenied, match="/etc"):
        library.run(library.bundle(oci_rootfs, ["/etc"]))
    with library.run(library.bundle(oci_rootfs, WORDS)) as container:
        with pytest.raises(api.ProgramNotFound, match="nothing"):
            container.exec(["nothing"])
        with pytest.raises(api.Timeout, match=f"{container.id}: the end of its process") as told:
            container.wait(0.01)
        assert isinstance(told.value, TimeoutError)
        assert told.value.seconds == 0.01
        assert container.process is not None
        assert str(container.process.pid) in told.value.waited_for
        with container.exec(WORDS, stdout=api.PIPE) as process:
            with pytest.raises(api.Timeout, match=r"a process of container .*: the end"):
                process.communicate(timeout=0.01)
    assert library.containers() == []


def test_denied_is_a_step_error_too() -> None:
    step = api.StepError("mounts[0] /x", 13)
    found = refined(step)
    assert isinstance(found, api.StepError)
    assert isinstance(found, api.PermissionDenied)
    assert (str(found), found.step, found.number) == (str(step), "mounts[0] /x", 13)
    assert refined(api.StepError("mounts[0] /x", 22)).__class__ is api.StepError


def test_temporary_bundles_go_with_the_last_who_knows_them(
    library: api.Runtime, oci_rootfs: Path
) -> None:
    bundle = library.bundle(oci_rootfs, ["true"])
    path = bundle.path
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    with library.run(bundle) as container:
        del bundle
        assert container.wait(PATIENCE).ok
        assert path.exists()
    del container
    assert not path.exists()


def test_a_context_removes_although_its_zygote_is_gone(
    library: api.Runtime, oci_rootfs: Path
) -> None:
    with library.run(library.bundle(oci_rootfs, WORDS)) as container:
        os.kill(library.zygote_pid, signal.SIGKILL)
    with api.Runtime(library.root, launcher=library.launcher) as another:
        assert another.containers() == []
        with pytest.raises(api.NotFound):
            another.container(container.id)


def test_a_context_removes_although_its_runtime_was_closed(
    library: api.Runtime, oci_rootfs: Path
) -> None:
    with library.run(library.bundle(oci_rootfs, WORDS)):
        library.close()
    assert library.containers() == []


def test_exec_in_a_cgroup_below(library: api.Runtime, oci_rootfs: Path) -> None:
    """In every hierarchy, or in those of a controller."""
    key = HIERARCHIES[0].key
    some = f"{key.partition(',')[0]}:inner" if key else "inner"
    with (
        library.run(library.bundle(oci_rootfs, WORDS)) as container,
        inner_cgroups(container.process.pid) as made,
    ):
        for wish, count in (("inner", len(made)), (some, 1)):
            options: Any = {"stdout": api.PIPE, "cgroups": [wish]}
            with container.exec(["cat", "/proc/self/cgroup"], **options) as process:
                output, _ = process.communicate(timeout=PATIENCE)
                assert process.wait(PATIENCE).code == 0
            assert output.decode().count("/inner\n") == count


def test_exec_where_system_calls_are_answered(
    library: api.Runtime, oci_rootfs: Path, sandbox: Sandbox
) -> None:
    """A process of exec has a listener of its own, which the agent gets from the library, too."""
    path = sandbox.directory / "test-agent.sock"
    filter_ = profile("ALLOW", rule("mkdir mkdirat", "NOTIFY"), listenerPath=str(path))
    with Agent(path, errno.EXDEV) as agent:
        bundle = library.bundle(oci_rootfs, WORDS, linux={"seccomp": filter_})
        with library.run(bundle) as container:
            with container.exec(["mkdir", "/x"], stderr=api.PIPE) as process:
                _, said = process.communicate(timeout=PATIENCE)
            assert b"Invalid cross-device link" in said
        assert [each.counts[0] for each in agent.deliveries] == [1, 1]
