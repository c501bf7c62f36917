"""docs/differences.md is what differences.toml says, and the field oracle's own parts work."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.field import differences, seeds
from tests.field.case import Case, fill
from tests.field.compare import Difference, difference
from tests.field.differences import Meant
from tests.field.reduce import reduced

DOCS = Path(__file__).resolve().parents[3] / "docs"


def test_the_page_is_up_to_date() -> None:
    command = "python -m tests.field.differences > docs/differences.md"
    assert (DOCS / "differences.md").read_text() == differences.page(differences.read()), command


@pytest.mark.parametrize("entry", differences.read(), ids=lambda entry: entry.reason.strip()[:30])
def test_every_difference_has_a_reason_and_a_page(entry: Meant) -> None:
    assert entry.title
    assert entry.reason.strip().endswith(".")
    assert (DOCS / entry.page.partition("#")[0]).is_file()
    assert "*" not in entry.places, "it would cover everything"


def test_only_what_the_peers_agree_on_counts() -> None:
    ours = {"a": 1, "b": {"c": 2, "d": 3}, "only": "x"}
    peers = [{"a": 1, "b": {"c": 4, "d": 3}}, {"a": 7, "b": {"c": 4, "d": 5}}]
    found = difference(ours, peers)
    assert found == [Difference("b/c", "2", "4"), Difference("only", "x", "(absent)")]


def test_a_call_that_differs_explains_the_rest() -> None:
    ours = {"calls": {"1-create": "refused"}, "left": "x"}
    peer = {"calls": {"1-create": "done", "2-start": "done"}, "process": {"umask": "0022"}}
    (found,) = difference(ours, [peer, peer])
    assert found == Difference("calls/1-create", "refused", "done")


def test_patterns_of_a_difference() -> None:
    entry = Meant("t", "r.", "p", ("exec-*/cwd",), ours="/x*", peers="/", config={"/a/b": "1.3*"})
    config = {"a": {"b": "1.3.0"}}
    assert entry.covers(Difference("exec-0/cwd", "/x/y", "/"), config)
    assert not entry.covers(Difference("exec-0/cwd", "/x/y", "/"), {"a": {"b": "1.2.0"}})
    assert not entry.covers(Difference("exec-0/cwd", "/x/y", "/"), {})
    assert not entry.covers(Difference("exec-0/cwd", "/y", "/"), config)
    assert not entry.covers(Difference("exec-0/cwd", "/x", "/z"), config)
    assert not entry.covers(Difference("process/cwd", "/x", "/"), config)


def test_a_case_survives_its_file() -> None:
    case = Case.of({"set": "/hostname", "to": "x"}, {"caller": "umask=077"}, seed="user")
    assert Case.from_json(case.to_json(shows=["something"])) == case


def test_changes_are_made_in_order() -> None:
    case = Case.of(
        {"set": "/mounts", "to": []},
        {"set": "/mounts/-", "to": {"destination": "/a"}},
        {"set": "/mounts/0/options", "to": ["ro"]},
        {"set": "/linux/devices/-", "to": {"path": "/dev/x"}},
        {"remove": "/process/rlimits"},
        {"remove": "/no/such/thing"},
    )
    config = case.config(seeds.SEEDS)
    assert config["mounts"] == [{"destination": "/a", "options": ["ro"]}]
    assert config["linux"]["devices"] == [{"path": "/dev/x"}]
    assert "rlimits" not in config["process"]
    assert "mounts" in seeds.SEEDS["default"](), "the seed itself is as it was"


def test_placeholders() -> None:
    assert fill({"@ID@": ["@CASE@/a", 1]}, {"@ID@": "i", "@CASE@": "/c"}) == {"i": ["/c/a", 1]}


def test_a_case_is_made_smaller() -> None:
    case = Case.of(*({"caller": word} for word in "abcdef"), seed="user")
    small = reduced(case, lambda less: {"b", "e"} <= {change["caller"] for change in less.changes})
    assert small == Case.of({"caller": "b"}, {"caller": "e"})


@pytest.mark.parametrize("name", seeds.SEEDS)
def test_seeds_name_nothing_of_another_machine(name: str) -> None:
    config = seeds.SEEDS[name]()
    assert config["root"]["path"] == "rootfs"
    assert "hooks" not in config
    assert not [one for one in config["linux"]["namespaces"] if "path" in one]
