"""`plan --syscalls` without root: complete, readable, and nothing but looks at files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ociruntime.kernel import constants as c
from ociruntime.kernel import program as p
from ociruntime.kernel.kernel import Kernel
from ociruntime.kernel.numbers import NUMBERS
from ociruntime.plan.build import Plan, build
from ociruntime.plan.requests import CreateRequest
from ociruntime.plan.syscalls.decode import Operand, operations
from ociruntime.plan.syscalls.notation import NAMED, Notation
from ociruntime.plan.syscalls.primitives import MAKERS, calls_of
from ociruntime.plan.syscalls.tell import CODES, as_json, as_text
from ociruntime.process.step import CONTAINER
from ociruntime.screen import Screen
from ociruntime.state.store import Store
from tests.support.config import base_config
from tests.unit.cli.caller import call
from tests.unit.process.configs import CONFIGS
from tests.unit.process.inline import BUNDLE, root_host

# What only looks.
LOOKS = {"openat", "statx", "fstatfs", "close"}


def planned(config: dict[str, Any], *, terminal: bool = False) -> Plan:
    config["process"]["terminal"] = terminal
    wanted = CreateRequest("c1", Store("/nowhere"), BUNDLE)
    wanted.console_fd = 0 if terminal else -1
    return build(config, b"{}", root_host(), wanted)


def told(program: p.Program, hosts: list[str] | None = None) -> list[str]:
    """The calls of a program's operations that are not conditional, as text."""
    notation = Notation(hosts or [])
    items = [item for one in operations(program.pack()) for item in calls_of(one, notation)]
    return [str(item) for item in items if hasattr(item, "name")]


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("name", CONFIGS)
def test_every_step_of_the_container_is_told_and_nothing_is_done(
    name: str, terminal: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: set[str] = set()
    invoke = Kernel.invoke

    def noted(self: Kernel, called: str, *args: Any) -> int:
        made.add(called)
        return invoke(self, called, *args)

    monkeypatch.setattr(Kernel, "invoke", noted)
    config = CONFIGS[name]()
    (tmp_path / "hosts").touch()
    for entry in config["mounts"]:
        if entry.get("source") == "/host/hosts":
            entry["source"] = str(tmp_path / "hosts")
    plan = planned(config, terminal=terminal)
    document = json.loads(as_json({"id": "c1"}, plan))
    assert made <= LOOKS
    # The spawning is the container's first program.
    kinds = [step.kind for step in plan.steps if step.side == CONTAINER or step.kind == "spawn"]
    assert [step["step"] for step in document["steps"]] == kinds
    assert {step["step"] for step in document["steps"] if step["untold"]} == {"run-hook"}
    last = document["steps"][-1]["operations"][-1]["calls"][-1]
    assert (last["call"], last["arguments"][0]) == ("execveat", "<init>")


def test_the_text_is_for_reading() -> None:
    config = base_config("c1", "SECRET=hunter2")
    config["mounts"] = config["mounts"][:1]
    plan = planned(config)
    lines = as_text(["create c1"], plan, Screen(100)).splitlines()
    assert lines[0] == "create c1"
    at = lines.index("unshare-cgroup /linux/namespaces/5: " + next(
        step.describe() for step in plan.steps if step.kind == "unshare-cgroup"
    ))  # fmt: skip
    assert lines[at + 1] == "  unshare(CLONE_NEWCGROUP)"
    assert '  $0 = openat(AT_FDCWD, "/", O_RDONLY|O_DIRECTORY|O_CLOEXEC|O_PATH)' in lines
    assert '    fsconfig(<context>, FSCONFIG_SET_STRING, "source", "proc", 0)' in lines
    assert "    after failure the next 3 are left out" in lines
    assert "    [ENOENT]" in lines
    assert not any("hunter2" in line for line in lines)


def test_operands_are_named() -> None:
    program = p.Program()
    how = bytearray((c.O_RDWR | c.O_CLOEXEC).to_bytes(8, "little") + bytes(8) + b"\x14" + bytes(7))
    program.add(p.CALL, (p.Descriptor(3), b'a "b"', how, 24), NUMBERS["openat2"], 5)
    program.add(p.CALL, (c.AT_FDCWD, b"/x", c.O_CREAT | c.O_WRONLY, 0o640), NUMBERS["openat"])
    program.add(p.CALL, (NAMED, b"", p.Descriptor(5), b"", 0x44), NUMBERS["move_mount"])
    program.add(p.CALL, (1, b"x", c.S_IFCHR | 0o600, 259), NUMBERS["mknodat"])
    program.add(p.CALL, (7, bytearray(4)), 9999)
    flags = "{flags=O_RDWR|O_CLOEXEC, resolve=RESOLVE_NO_SYMLINKS|RESOLVE_IN_ROOT}"
    assert told(program, ["rootfs"]) == [
        rf'openat2($3, "a \"b\"", {flags}, 24)',
        'openat(AT_FDCWD, "/x", O_WRONLY|O_CREAT, 0640)',
        'move_mount(<rootfs>, "", $5, "", MOVE_MOUNT_F_EMPTY_PATH|MOVE_MOUNT_T_EMPTY_PATH)',
        'mknodat(1, "x", S_IFCHR|0600, 259)',
        "syscall_9999(7, <data>)",
    ]


def test_a_lookup_may_be_repeated_and_ends_in_the_root() -> None:
    program = p.Program()
    program.add(p.OPEN, (p.Descriptor(0), b"", c.O_PATH, 0))
    (one,) = operations(program.pack())
    (found,) = calls_of(one, Notation([]))
    assert found.as_dict() == {
        "call": "openat2",
        "arguments": [
            "$0",
            '"/"',
            "{flags=O_RDONLY|O_CLOEXEC|O_PATH, resolve=RESOLVE_NO_MAGICLINKS|RESOLVE_IN_ROOT}",
            "24",
        ],
        "again": "EAGAIN",
    }


def test_every_operation_has_its_calls_and_a_name() -> None:
    codes = set(range(p.DEV + 1))
    assert set(MAKERS) == codes
    assert set(CODES) == codes


def test_differences_are_those_of_steps(tmp_path: Path) -> None:
    done = call(None, "plan", "--syscalls", "--diff", str(tmp_path), str(tmp_path))
    assert done.status != 0
    assert "--diff compares steps; leave --syscalls out" in done.stderr


def test_what_the_host_made_idmapped_is_told() -> None:
    """The host side knows what kind of filesystem it made: nobody has to look at it."""
    config = base_config("c1", "M=1")
    ids = [{"containerID": 0, "hostID": 1000, "size": 1}]
    entry = {"destination": "/m", "type": "tmpfs", "uidMappings": ids, "gidMappings": ids}
    config["mounts"] = [{**entry, "options": ["nosuid"]}]
    (step,) = (
        step
        for step in json.loads(as_json({}, planned(config)))["steps"]
        if step["step"] == "attach-filesystem"
    )
    assert step["untold"] == ""
    calls = [call["call"] for one in step["operations"] for call in one["calls"] if "call" in call]
    assert calls.index("mount_setattr") < calls.index("move_mount")


@pytest.mark.parametrize(
    ("kind", "words"), [(p.SCRATCH, "<memory>"), (p.DATA, "<data>"), (p.REGISTER, "$7"), (0, "7")]
)
def test_operands_of_calls_that_no_table_knows(kind: int, words: str) -> None:
    assert Notation([]).other(Operand(kind, 7, b"")) == words
