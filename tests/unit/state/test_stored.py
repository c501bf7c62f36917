"""The types of state.json beside what is done with it at run time: both know the same members."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from ociruntime.cgroups.path import Place, Placement
from ociruntime.cgroups.unit import Unit
from ociruntime.state.unsealed import MAKER, NEEDED, OPTIONAL

PACKAGE = Path(__file__).parents[3] / "ociruntime"
# What state.json had no checksum for any more when these came.
SEALED = {"added_mounts", "added_places", "config_checksum"}
# In the stub -> what JSON makes of it.
FORMS = {"str": str, "int": int, "bool": bool, "list": list, "tuple": list, "dict": dict}


def members(part: str, name: str) -> dict[str, str]:
    """The members of a TypedDict and their types as text."""
    tree = ast.parse((PACKAGE / part / "stored.pyi").read_text(encoding="utf-8"))
    found = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == name)
    return {
        node.target.id: ast.unparse(node.annotation)
        for node in found.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }


def forms(annotation: str) -> set[type]:
    """The types of JSON that an annotation stands for; that of a TypedDict is dict."""
    words = {word.strip().partition("[")[0] for word in annotation.split("|")}
    return {type(None) if word == "None" else FORMS.get(word, dict) for word in words}


def test_each_member_is_checked_where_there_is_no_checksum() -> None:
    stored = members("state", "StoredState")
    checked = {**NEEDED, **OPTIONAL}
    assert stored.keys() - SEALED == checked.keys()
    assert {name: forms(stored[name]) for name in checked} == {
        name: set(kinds) for name, kinds in checked.items()
    }
    assert members("state", "StoredMaker").keys() == MAKER.keys()


@pytest.mark.parametrize("systemd", [False, True])
def test_a_placement_is_what_its_type_says(*, systemd: bool) -> None:
    unit = Unit("a.scope", "b.slice", "/", user=False) if systemd else None
    placement = Placement("v1", [Place("cpu", "/m", ["a"], 0)], unit)
    assert "delegated" not in placement.as_dict()
    placement.delegated = ["own"]
    placed = placement.as_dict()
    names = members("cgroups", "StoredPlacement").keys()
    assert placed.keys() == names - (set() if systemd else {"unit"})
    if systemd:
        assert placed["unit"].keys() == members("cgroups", "StoredUnit").keys()
