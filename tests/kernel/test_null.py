"""null is absence and a fraction is no integer, whoever reads the document: create, run, exec,
update, plan, validate and the library.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from ociruntime import api
from tests.support.bundle import Bundle
from tests.support.patience import PATIENCE
from tests.support.runtime import Runtime
from tests.support.sandbox import Sandbox
from tests.support.verdict import assert_clear

MakeBundle = Callable[..., Bundle]
OPTIONAL: dict[str, dict[str, Any]] = {
    "": dict.fromkeys(("hostname", "domainname", "hooks", "annotations", "windows")),
    "/root": {"readonly": None},
    "/process": dict.fromkeys(
        (
            "terminal", "consoleSize", "user", "capabilities", "rlimits", "noNewPrivileges",
            "apparmorProfile", "selinuxLabel", "oomScoreAdj", "scheduler", "ioPriority",
            "execCPUAffinity",
        )
    ),
    "/linux": dict.fromkeys(
        (
            "uidMappings", "gidMappings", "timeOffsets", "devices", "netDevices", "resources",
            "rootfsPropagation", "seccomp", "sysctl", "maskedPaths", "readonlyPaths", "mountLabel",
            "intelRdt", "memoryPolicy", "personality",
        )
    ),
    "/mounts/0": dict.fromkeys(("options", "uidMappings", "gidMappings")),
}  # fmt: skip
RESOURCES = {
    "memory": {"limit": None, "reservation": None, "swap": None},
    "cpu": {"shares": None, "cpus": None, "quota": None},
    "pids": None,
    "blockIO": None,
    "unified": None,
    "hugepageLimits": None,
}


def nulled(made: Bundle) -> Bundle:
    for pointer, members in OPTIONAL.items():
        node: Any = made.config
        for step in pointer.split("/")[1:]:
            node = node[int(step)] if isinstance(node, list) else node[step]
        node.update(members)
    return made


def process(**changes: Any) -> dict[str, Any]:
    return {"cwd": "/", "args": ["/bin/echo", "here"], **OPTIONAL["/process"], **changes}


def test_null_in_every_verb(runtime: Runtime, bundle: MakeBundle) -> None:
    made = nulled(bundle(["/bin/sleep", "100"]))
    for verb in ("validate", "plan"):
        if runtime.is_ours:
            runtime.call(verb, "--bundle", str(made.write().path)).check()
    container = runtime.up(made)
    file = made.path / "process.json"
    file.write_text(json.dumps(process(env=None)))
    assert runtime.exec(container, options=("--process", str(file))).check().stdout == "here\n"
    assert runtime.exec(container, "/bin/echo", "flags").check().stdout == "flags\n"
    resources = made.path / "resources.json"
    resources.write_text(json.dumps(RESOURCES))
    runtime.call("update", "--resources", str(resources), container).check()


def test_null_in_resources_of_the_config(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle(["/bin/true"])
    made.config["linux"]["resources"] = copy.deepcopy(RESOURCES)
    runtime.run(made).check()


def test_null_in_the_library(library: api.Runtime, sandbox: Sandbox, bundle: MakeBundle) -> None:
    made = nulled(bundle(["/bin/sleep", "100"])).write()
    with library.run(made.path, sandbox.new_id()) as container:
        assert container.exec(["/bin/true"], process=process(env=None)).wait(PATIENCE).ok
        assert container.update(RESOURCES) == []


@pytest.mark.parametrize("number", ["64.0", "6e1"])
def test_a_fraction_is_refused_by_every_verb(
    runtime: Runtime, bundle: MakeBundle, number: str
) -> None:
    container = runtime.up(bundle(["/bin/sleep", "100"]))
    made = bundle()
    made.set("/linux/resources/pids", {"limit": 7654321}).write()
    config = made.path / "config.json"
    config.write_text(config.read_text().replace("7654321", number))
    assert_clear(runtime, runtime.create(made.path), "/linux/resources/pids/limit", "fraction")
    file = made.path / "document.json"
    file.write_text(json.dumps(process(oomScoreAdj=7654321)).replace("7654321", number))
    done = runtime.exec(container, options=("--process", str(file)))
    assert_clear(runtime, done, "/oomScoreAdj", "fraction", status=255)
    file.write_text(f'{{"pids": {{"limit": {number}}}}}')
    done = runtime.call("update", "--resources", str(file), container)
    assert_clear(runtime, done, "/pids/limit", "fraction")


def test_missing_ids_and_levels_are_zero_with_a_warning(
    runtime: Runtime, bundle: MakeBundle
) -> None:
    made = bundle(["/bin/id"])
    made.config["process"]["user"] = {"uid": 7}
    made.config["process"]["ioPriority"] = {"class": "IOPRIO_CLASS_BE"}
    done = runtime.run(made).check()
    assert done.stdout.startswith("uid=7 gid=0")
    if runtime.is_ours:
        assert "/process/user/gid: user has no gid: 0 is taken" in done.stderr
        assert "/process/ioPriority/priority: ioPriority has no priority" in done.stderr


def test_a_sysctl_may_end_with_its_line(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle(["/bin/cat", "/proc/sys/kernel/msgmax"])
    made.config["linux"]["sysctl"] = {"kernel.msgmax": "4097\n"}
    assert runtime.run(made).check().stdout == "4097\n"
