"""What a refusal means: the words that name what has to be undone."""

from __future__ import annotations

import pytest

from ociruntime.cgroups.explain import explain_foreign
from ociruntime.cgroups.path import Place

OTHERS = ["/", "/sys/fs/cgroup", "/sys/fs/cgroup/memory", "/sys/fs/cgroup/memory/a/bc"]


@pytest.mark.parametrize("point", ["/sys/fs/cgroup/memory/a", "/sys/fs/cgroup/memory/a/b"])
def test_what_covers_a_cgroup_is_named(point: str) -> None:
    place = Place("memory", "/sys/fs/cgroup/memory", ["a", "b"], 0)
    assert explain_foreign(place, [*OTHERS, point]) == (
        f"something is mounted on {point}; unmount it"
    )


@pytest.mark.parametrize(("key", "kind"), [("memory", "cgroup"), ("", "cgroup2")])
def test_the_hierarchy_itself_is_covered(key: str, kind: str) -> None:
    place = Place(key, "/sys/fs/cgroup/memory", ["a", "b"], 0)
    assert explain_foreign(place, OTHERS) == (
        f"/sys/fs/cgroup/memory is not a {kind} file system; mount the hierarchy there"
    )
