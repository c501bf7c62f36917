"""What the conformance suite's tests of cgroups ask for, and what they take for an answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conformance import registry
from conformance.checks import cgroups, resources

ROOT = Path("/sys/fs/cgroup")


class Host:
    """A machine with cgroup v2 and a disk."""

    unified = True
    cgroup_version = "v2"
    block_device = (254, 0)

    def controller(self, _: str) -> Path:
        return ROOT


class Configuration:
    """A bundle that notes what it is asked for."""

    def __init__(self) -> None:
        self.resources: dict[str, Any] = {}
        self.mounts: list[tuple[str, list[str]]] = []

    def user_namespace(self) -> None:
        """Nothing depends on it here."""

    def namespace(self, _: str) -> None:
        """Nothing depends on it here."""

    def add_mount(self, place: str, _: str, *, options: list[str]) -> None:
        self.mounts.append((place, options))


class Stop(Exception):
    """Ends a test where the container would be made."""


class Trial:
    """A trial that ends at the first container, and notes what was to be refused."""

    host = Host()

    def __init__(self) -> None:
        self.made: list[Configuration] = []
        self.to_be_refused: list[dict[str, Any]] = []

    def bundle(self) -> Configuration:
        self.made.append(Configuration())
        return self.made[-1]

    def need(self, fact: object, reason: str) -> None:
        assert fact, reason

    def up(self, _: Configuration) -> None:
        raise Stop

    def refuses(self, _: str, bundle: Configuration, **__: str) -> None:
        self.to_be_refused.append(bundle.resources)


@pytest.mark.parametrize(
    ("sentence", "option"),
    [
        ("cgroups.owner-no-namespace", "rw"),
        ("cgroups.owner-read-only", "ro"),
        ("cgroups.owner-read-write", "rw"),
    ],
)
def test_owners_with_the_flags_of_the_hosts_mount(sentence: str, option: str) -> None:
    """A bind mount in a user namespace cannot lose them: create would fail for another reason."""
    (entry,) = [entry for entry in registry.all_checks() if sentence in entry.sentences]
    trial = Trial()
    with pytest.raises(Stop):
        entry.function(trial)  # type: ignore[arg-type]
    (options,) = [options for place, options in trial.made[0].mounts if place == "/sys/fs/cgroup"]
    assert {"nosuid", "noexec", "nodev", option} <= set(options)


def test_a_container_that_cannot_be_made_judges_one_sentence_about_owners() -> None:
    for sentence in ("cgroups.owner-no-namespace", "cgroups.owner-read-only"):
        (entry,) = [entry for entry in registry.all_checks() if sentence in entry.sentences]
        assert entry.sentences == (sentence,)


def test_conversion_of_what_has_a_controller_of_v2_alone() -> None:
    """The specification speaks of controllers that are enabled: net_cls is none of v2's."""
    trial = Trial()
    cgroups.conversion_that_is_impossible(trial)  # type: ignore[arg-type]
    assert [set(refused) for refused in trial.to_be_refused] == [{"cpu"}]


def test_a_weight_that_is_not_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    tests: list[Callable[[str], bool]] = []
    monkeypatch.setattr(resources, "judge_file", lambda *words: tests.append(words[-1]))
    resources.block_value(Trial(), "block-io.weight", "weight", "", "")  # type: ignore[arg-type]
    (good,) = tests
    assert good("default 4950")
    assert good("500")
    assert not good("default 100")
    assert not good("io.weight: No such file or directory")
