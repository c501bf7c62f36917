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
from ociruntime.plan.build import Plan
from ociruntime.plan.compare import Side, compare
from ociruntime.plan.compare import as_text as as_difference
from ociruntime.plan.explain import as_json, as_text, folded, heading
from ociruntime.plan.host import Host, as_root
from ociruntime.plan.namespaces import needs_root
from ociruntime.plan.requests import CreateRequest
from ociruntime.screen import Screen
from ociruntime.spec.default import default_config, rootless_config
from ociruntime.state.store import Store
from tests.support.screens import WIDTHS, check

from ..spec.documents import CHECKOUT, corpus
from .caller import call

UNIFIED = parse("30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "0::/user.slice\n")
UNIFIED.hierarchies[0].controllers = ("cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma")
ROOT = Host(0, 0, (1 << 41) - 1, 40, UNIFIED, in_userns=False)
USER = Host(1000, 1000, 0, 40, UNIFIED, in_userns=False)
SCHEMA = Draft202012Validator(json.loads((CHECKOUT / "schemas" / "plan.json").read_text()))
SECRET = "hunter2"


def plan_of(config: dict[str, Any], host: Host = ROOT, bundle: str = "/bundle") -> Plan:
    options = CreateRequest("c1", Store("/run/x"), bundle)
    options.console_fd = 0
    return make_plan(config, json.dumps(config).encode(), host, options)


def planned(
    config: dict[str, Any], host: Host = ROOT, width: int = 1000
) -> tuple[str, dict[str, Any]]:
    """The plan as text, on a screen so wide that nothing is broken, and as a document."""
    plan = plan_of(config, host)
    about = {"id": "c1", "operation": "create", "bundle": "/bundle", "host": host.as_dict()}
    title = heading("create c1 from /bundle", plan.steps, host)
    text = as_text(title, plan.steps, plan.warnings, Screen(width))
    return text, json.loads(as_json(about, plan.steps, plan.warnings))


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
            assert step["name"] in text, path.name
            assert folded(step["description"]) in text, path.name


def test_pointers_lead_into_the_config() -> None:
    config = default_config()
    config["linux"]["cgroupsPath"] = "/a/b"
    for step in planned(config)[1]["steps"]:
        resolve(config, step["pointer"])


def test_text() -> None:
    text, document = planned(default_config())
    lines = text.splitlines()
    count = len(document["steps"])
    assert lines[0] == "create c1 from /bundle"
    assert lines[1] == f"{count} steps, as root, cgroups v2"
    below = ""
    seen = []
    for line in lines[2:]:
        if line and not line.startswith(" "):
            below = line
        elif line:
            seen.append(below)
    assert seen == [f"{step['stage']} ({step['side']})" for step in document["steps"]]
    assert any(line.startswith("  mount /mounts/0  ") for line in lines)


def test_names_are_unique_and_stay() -> None:
    """Nothing in a name counts steps, but where one is twice in the same place of the config."""
    config = default_config()
    before = [step["name"] for step in planned(config)[1]["steps"]]
    assert len(set(before)) == len(before)
    assert {"make-device /dev/null", "make-symlink /dev/fd", "mount /mounts/0"} <= set(before)
    assert not [name for name in before if "#" in name]
    config["linux"]["devices"] = [{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229}]
    config["hostname"] = "other"
    after = [step["name"] for step in planned(config)[1]["steps"]]
    assert set(before) <= set(after)


def test_paths_are_folded() -> None:
    text = "create cgroup /a/b, /c/d, /e/f, /g/h, and /x, /y"
    assert folded(text) == "create cgroup /a/b and 3 more, and /x, /y"


def difference(before: dict[str, Any], after: dict[str, Any], width: int = 100) -> str:
    sides = [
        Side(plan_of(config, bundle=bundle).steps, bundle)
        for config, bundle in ((before, "/one"), (after, "/two"))
    ]
    found = compare(*sides)
    return as_difference(found, ["from one", "to   two"], len(sides[1].steps), Screen(width))


def test_one_mount_in_front_is_one_line() -> None:
    before, after = default_config(), default_config()
    after["mounts"].insert(0, {"destination": "/x", "type": "tmpfs", "source": "tmpfs"})
    text = difference(before, after)
    assert [line for line in text.splitlines() if line[:1] in "-+~" and line] == [
        "+ mount /mounts/0  mount a new tmpfs on /x"
    ]
    assert text.endswith(f"1 new, of {len(plan_of(after).steps)} steps\n")
    assert "- mount /mounts/0  mount a new tmpfs on /x" in difference(after, before)


def test_the_bundles_name_alone_is_no_difference() -> None:
    assert "no difference" in difference(default_config(), default_config())


def test_changes_of_a_step_are_one_line() -> None:
    before, after = default_config(), default_config()
    after["hostname"] = "other"
    after["process"]["rlimits"][0]["soft"] = 512
    text = difference(before, after, 160)
    assert "~ set-hostname /hostname" in text
    assert "set the hostname to ociruntime -> set the hostname to other" in text
    assert "2 changed" in text


def test_data_that_no_sentence_tells_is_told() -> None:
    before, after = default_config(), default_config()
    after["mounts"][3]["options"].remove("noexec")
    text = difference(before, after, 160)
    assert "~ mount /mounts/3" in text
    assert "attr_set" in text


@pytest.mark.parametrize("width", WIDTHS)
def test_screens(width: int) -> None:
    config = default_config()
    config["linux"]["resources"]["memory"] = {"kernel": 1 << 20}
    check("plan", width, planned(config, width=width)[0])
    after = json.loads(json.dumps(config))
    after["mounts"].insert(0, {"destination": "/x", "type": "tmpfs", "source": "tmpfs"})
    after["hostname"] = "other"
    del after["linux"]["maskedPaths"][0]
    check("plan-diff", width, difference(config, after, width))


def test_text_of_others_than_root() -> None:
    text, document = planned(rootless_config(1000, 1000), USER)
    assert "as uid 1000, " in text
    assert document["host"]["euid"] == 1000


def test_warnings_are_told() -> None:
    config = default_config()
    config["linux"]["resources"]["memory"] = {"kernel": 1 << 20}
    text, document = planned(config)
    assert any("memory.kernel is ignored" in warning for warning in document["warnings"])
    assert "\nwarning: linux.resources.memory.kernel is ignored" in text


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
    config["process"]["cwd"] = "/a\n  chroot  do nothing\x1b[2J"
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
    assert outcome.stdout.split()[:4] == ["create", "container", "from", str(bundle)]
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
