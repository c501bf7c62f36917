"""`plan`: valid against its schema, complete, without secrets, and without any effect."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from ociruntime.cgroups.detect import parse
from ociruntime.lifecycle.create import make_plan
from ociruntime.plan.explain import as_json, as_text
from ociruntime.plan.host import Host, as_root
from ociruntime.plan.namespaces import needs_root
from ociruntime.plan.options import CreateOptions
from ociruntime.spec.default import default_config, rootless_config
from ociruntime.state.store import Store

from ..spec.documents import CHECKOUT, corpus
from .caller import call

UNIFIED = parse("30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "0::/user.slice\n")
UNIFIED.hierarchies[0].controllers = ("cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma")
ROOT = Host(0, 0, (1 << 41) - 1, 40, UNIFIED, in_userns=False)
USER = Host(1000, 1000, 0, 40, UNIFIED, in_userns=False)
SCHEMA = Draft202012Validator(json.loads((CHECKOUT / "schemas" / "plan.json").read_text()))
SECRET = "hunter2"


def planned(config: dict[str, Any], host: Host = ROOT) -> tuple[str, dict[str, Any]]:
    """The plan as text and as a document."""
    options = CreateOptions("c1", Store("/run/x"), "/bundle")
    options.console_fd = 0
    plan = make_plan(config, json.dumps(config).encode(), host, options)
    return as_text(plan, host, options), json.loads(as_json(plan, host, options))


def resolve(config: Any, pointer: str) -> Any:
    value = config
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        value = value[int(name)] if isinstance(value, list) else value[name]
    return value


def test_corpus() -> None:
    """Whatever engines write can be planned, and is told completely."""
    for path in corpus():
        config = json.loads(path.read_text())
        text, document = planned(config)
        assert list(SCHEMA.iter_errors(document)) == [], path.name
        for step in document["steps"]:
            assert step["description"] in text, path.name


def test_pointers_lead_into_the_config() -> None:
    config = default_config()
    config["linux"]["cgroupsPath"] = "/a/b"
    for step in planned(config)[1]["steps"]:
        resolve(config, step["pointer"])


def test_text() -> None:
    text, document = planned(default_config())
    lines = text.splitlines()
    assert lines[0] == "create c1 from /bundle"
    assert lines[1] == f"{len(document['steps'])} steps, as root, cgroups v2"
    numbers = [int(line[:4]) for line in lines if line[:4].strip().isdecimal() and line[4] == " "]
    assert numbers == list(range(1, len(document["steps"]) + 1))
    heading = ""
    seen = []
    for line in lines[2:]:
        if line and not line.startswith(" "):
            heading = line
        elif line:
            seen.append(heading)
    assert seen == [f"{step['stage']} ({step['side']})" for step in document["steps"]]
    assert any(line.endswith("  /mounts/0") for line in lines)


def test_text_of_others_than_root() -> None:
    text, document = planned(rootless_config(1000, 1000), USER)
    assert "as uid 1000, " in text
    assert document["host"]["euid"] == 1000


def test_warnings_are_told() -> None:
    config = default_config()
    config["process"]["capabilities"]["bounding"].append("CAP_NO_SUCH")
    text, document = planned(config)
    assert any("CAP_NO_SUCH" in warning for warning in document["warnings"])
    assert "\nwarning: " in text
    assert "CAP_NO_SUCH" in text


def test_no_environment_values() -> None:
    config = default_config()
    config["process"]["env"].append(f"TOKEN={SECRET}")
    config["hooks"] = {
        phase: [{"path": "/bin/true", "env": [f"TOKEN={SECRET}"]}]
        for phase in ("createRuntime", "createContainer", "startContainer", "poststop")
    }
    text, document = planned(config)
    assert SECRET not in text
    assert SECRET not in json.dumps(document)
    assert "TOKEN" in json.dumps(document)


def test_hostile_names_keep_to_their_line() -> None:
    config = default_config()
    config["process"]["cwd"] = "/a\n   1  do nothing\x1b[2J"
    text, document = planned(config)
    assert "\x1b" not in text
    assert len([line for line in text.splitlines() if "do nothing" in line]) == 2
    assert document["steps"]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle that this caller, whoever it is, could run: the rootfs is not looked at."""
    config = rootless_config(os.geteuid(), os.getegid())
    path = tmp_path / "bundle"
    path.mkdir()
    (path / "config.json").write_text(json.dumps(config))
    return path


def test_command_has_no_effect(tmp_path: Path, bundle: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    outcome = call(tmp_path / "root", "plan", "--bundle", str(bundle), "--format", "json", "c1")
    document = outcome.json()
    assert list(SCHEMA.iter_errors(document)) == []
    assert (document["id"], document["bundle"]) == ("c1", str(bundle))
    assert sorted(tmp_path.rglob("*")) == before


def test_command_takes_the_options_of_create(tmp_path: Path, bundle: Path) -> None:
    os.rename(bundle / "config.json", bundle / "other.json")
    words = ["--bundle", str(bundle), "--config", "other.json", "--no-pivot", "--pid-file", "/p"]
    outcome = call(tmp_path, "plan", *words)
    assert outcome.status == 0, outcome.stderr
    assert outcome.stdout.startswith(f"create container from {bundle}\n")
    assert "write the pid to /p" in outcome.stdout
    assert "pivot_root" not in outcome.stdout


def test_impossible(tmp_path: Path, bundle: Path) -> None:
    """What the planner refuses is one line, and nothing is printed of the plan."""
    outcome = call(tmp_path, "plan", "--bundle", str(bundle), "--console-socket", "/s")
    assert outcome.status == 0, outcome.stderr
    config = json.loads((bundle / "config.json").read_text())
    config["process"]["terminal"] = False
    (bundle / "config.json").write_text(json.dumps(config))
    outcome = call(tmp_path, "plan", "--bundle", str(bundle), "--console-socket", "/s")
    assert (outcome.status, outcome.stdout) == (1, "")
    assert outcome.stderr.count("\n") == 1
    assert "process.terminal is not set" in outcome.stderr


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--format", "yaml"], "use text or json"),
        (["a", "b"], "2 arguments"),
        (["../x"], "invalid id"),
        (["--bundle", "/does/not/exist"], "/does/not/exist"),
    ],
)
def test_misuse(tmp_path: Path, words: list[str], complaint: str) -> None:
    outcome = call(tmp_path, "plan", *words)
    assert outcome.status == 1
    assert complaint in outcome.stderr
    assert outcome.stderr.count("\n") == 1


def test_without_root_the_plan_is_roots() -> None:
    """Reading a plan needs no privileges, whatever executing it needs."""
    config = default_config()
    assert needs_root(config, USER)
    assert not needs_root(rootless_config(1000, 1000), USER)
    root = as_root(USER)
    assert not needs_root(config, root)
    assert root.privileged
    text, _ = planned(config, root)
    assert "pivot_root" in text
