"""`plan` of containers that exist: as they were created, and what would be done to them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from tests.support.bundle import Bundle
from tests.support.runtime import Runtime

CHECKOUT = Path(__file__).resolve().parents[2]
SCHEMA = Draft202012Validator(json.loads((CHECKOUT / "schemas" / "plan.json").read_text()))
Made = Callable[..., Bundle]


@pytest.fixture
def running(runtime: Runtime) -> Iterator[Callable[[Bundle], str]]:
    """Starts a bundle; its id."""
    made = []

    def start(bundle: Bundle) -> str:
        made.append(runtime.up(bundle))
        return made[-1]

    yield start
    for name in made:
        runtime.delete(name, "--force").check()


def document(runtime: Runtime, *words: str) -> dict[str, object]:
    found: dict[str, object] = runtime.call("plan", *words).json()
    assert list(SCHEMA.iter_errors(found)) == []
    return found


def test_of_a_container_is_the_plan_that_it_was_created_by(
    runtime: Runtime, bundle: Made, running: Callable[[Bundle], str]
) -> None:
    made = bundle(["/bin/sleep", "100"], hostname="first")
    name = running(made)
    path = str(made.path)
    before = document(runtime, "--format", "json", "--bundle", path, name)
    made.config["hostname"] = "second"
    made.write()
    assert document(runtime, "--of", name, "--format", "json") == before
    shown = runtime.call("plan", "--diff", name, path).check().stdout
    assert [line for line in shown.splitlines() if line[:1] in ("+", "-", "~")] == [
        "~ set-hostname /hostname  set the hostname to first -> set the hostname to second"
    ]
    same = runtime.call("plan", "--diff", name, name).check().stdout
    assert "no difference" in same
    found = runtime.call("plan", "--diff", "--format", "json", name, f"{path}/config.json").json()
    assert [entry["kind"] for entry in found["differences"]] == ["changed"]
    refused = runtime.call("plan", "--diff", name, "no-such-container")
    assert "container does not exist" in refused.stderr


def test_exec(runtime: Runtime, bundle: Made, running: Callable[[Bundle], str]) -> None:
    name = running(bundle(["/bin/sleep", "100"]))
    words = ("--format", "json", "--user", "1000", name, "ls", "-l")
    found = document(runtime, "exec", *words)
    assert found["operation"] == "exec"
    assert len(found["steps"]) > 3  # type: ignore[arg-type]
    assert runtime.call("ps", "--format", "json", name).json().__len__() == 1
    text = runtime.call("plan", "exec", name, "ls").check().stdout
    assert text.startswith(f"exec {name}\n")
    assert f"make a process in container {name} for ls, as uid 0, gid 0" in " ".join(text.split())
    assert "wait until ls is executed" in " ".join(text.split())


def test_update_says_what_is_there(
    runtime: Runtime, bundle: Made, running: Callable[[Bundle], str]
) -> None:
    made = bundle(["/bin/sleep", "100"], linux={"resources": {"pids": {"limit": 20}}})
    name = running(made)
    words = ("--format", "json", "--pids-limit", "30", "--memory", "64M", name)
    found = document(runtime, "update", *words)
    steps = {step["pointer"]: step["operands"] for step in found["steps"]}  # type: ignore[attr-defined]
    assert steps["/linux/resources/pids/limit"] == {
        "file": "pids.max", "value": "30", "now": "20",
    }  # fmt: skip
    assert steps["/linux/resources/memory/limit"]["value"] == str(64 << 20)
    only = runtime.call("plan", "update", "--pids-limit", "30", name).check().stdout
    assert "\n1 step, as " in only
    again = document(runtime, "update", *words)
    assert again == found, "nothing was written"


def test_delete(runtime: Runtime, bundle: Made, running: Callable[[Bundle], str]) -> None:
    hooks = {"poststop": [{"path": "/bin/true"}]}
    name = running(bundle(["/bin/sleep", "100"], hooks=hooks))
    refused = runtime.call("plan", "delete", name)
    assert refused.status == 1
    assert "cannot delete container" in refused.stderr
    found = document(runtime, "delete", "--force", "--format", "json", name)
    kinds = [step["step"] for step in found["steps"]]  # type: ignore[attr-defined]
    assert kinds == ["kill", "remove-cgroup", "run-hook", "remove-state"]
    assert runtime.call("state", name).json()["status"] == "running"


def test_a_container_may_be_called_as_a_command(runtime: Runtime, bundle: Made) -> None:
    path = str(bundle(["/bin/true"]).write().path)
    text = runtime.call("plan", "--bundle", path, "exec").check().stdout
    assert text.startswith(f"create exec from {path}\n")
