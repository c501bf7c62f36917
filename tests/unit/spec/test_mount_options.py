"""Mount options: every name, and that the last one wins."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ociruntime.spec.idmap_option import mappings_of
from ociruntime.spec.mount_options import known_options, parse
from ociruntime.spec.tables import (
    MOUNT_ATTR_ATIME,
    MOUNT_ATTR_NOATIME,
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NODIRATIME,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_NOSYMFOLLOW,
    MOUNT_ATTR_RDONLY,
    MOUNT_ATTR_STRICTATIME,
    MS_REC,
)

# config.md, "Linux mount options": MUST and SHOULD.
MUST = (
    "async atime bind defaults dev diratime dirsync exec iversion lazytime loud noatime nodev"
    " nodiratime noexec noiversion nolazytime norelatime nostrictatime nosuid private rbind"
    " relatime remount ro rprivate rshared rslave runbindable rw shared silent slave strictatime"
    " suid sync unbindable"
)
SHOULD = (
    "idmap ridmap ratime rdev rdiratime rexec rnoatime rnodev rnodiratime rnoexec rnorelatime"
    " rnostrictatime rnosuid rrelatime rro rrw rstrictatime rsuid rsymfollow rnosymfollow"
    " nosymfollow symfollow mand nomand tmpcopyup"
)


@pytest.mark.parametrize("option", f"{MUST} {SHOULD}".split())
def test_names_of_the_specification(option: str) -> None:
    assert option in known_options()
    assert parse([option]).data == []


@pytest.mark.parametrize(
    ("options", "attr_set", "attr_clr"),
    [
        ([], 0, 0),
        (["ro"], MOUNT_ATTR_RDONLY, 0),
        (["rw"], 0, MOUNT_ATTR_RDONLY),
        (["ro", "rw"], 0, MOUNT_ATTR_RDONLY),
        (["rw", "ro"], MOUNT_ATTR_RDONLY, 0),
        (["nosuid", "nodev", "noexec"], 14, 0),
        (["nosuid", "suid", "dev", "exec"], 0, 14),
        (["nodiratime"], MOUNT_ATTR_NODIRATIME, 0),
        (["nosymfollow"], MOUNT_ATTR_NOSYMFOLLOW, 0),
        (["noatime"], MOUNT_ATTR_NOATIME, MOUNT_ATTR_ATIME),
        (["strictatime"], MOUNT_ATTR_STRICTATIME, MOUNT_ATTR_ATIME),
        (["relatime"], 0, MOUNT_ATTR_ATIME),
        (["noatime", "strictatime"], MOUNT_ATTR_STRICTATIME, MOUNT_ATTR_ATIME),
        (["noatime", "atime"], 0, MOUNT_ATTR_ATIME),
        (["strictatime", "atime"], MOUNT_ATTR_STRICTATIME, MOUNT_ATTR_ATIME),
        (["noatime", "nostrictatime"], MOUNT_ATTR_NOATIME, MOUNT_ATTR_ATIME),
        (["strictatime", "nostrictatime"], 0, MOUNT_ATTR_ATIME),
        (["noatime", "norelatime"], MOUNT_ATTR_NOATIME, MOUNT_ATTR_ATIME),
        (["atime"], 0, 0),
        (["norelatime"], 0, 0),
        (["nostrictatime"], 0, 0),
        (["defaults", "silent", "loud"], 0, 0),
        (["ro,nosuid", "nodev"], 7, 0),
    ],
)
def test_attributes(options: list[str], attr_set: int, attr_clr: int) -> None:
    result = parse(options)
    assert (result.attr_set, result.attr_clr) == (attr_set, attr_clr)
    assert (result.recursive_set, result.recursive_clr) == (0, 0)
    assert result.read_only == bool(attr_set & MOUNT_ATTR_RDONLY)


@pytest.mark.parametrize(
    ("options", "undone"),
    [
        (["atime"], MOUNT_ATTR_NOATIME),
        (["nostrictatime"], MOUNT_ATTR_STRICTATIME),
        (["atime", "nostrictatime"], MOUNT_ATTR_NOATIME | MOUNT_ATTR_STRICTATIME),
        (["norelatime"], 0),
        (["atime", "strictatime"], 0),
        (["noatime", "nostrictatime"], 0),
    ],
)
def test_access_times_that_are_taken_back(options: list[str], undone: int) -> None:
    assert parse(options).atime_undone == undone


def test_recursive_attributes() -> None:
    result = parse(["rro", "rnosuid", "rdev", "rnoatime", "nodev"])
    assert result.recursive_set == MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOATIME
    assert result.recursive_clr == MOUNT_ATTR_NODEV | MOUNT_ATTR_ATIME
    assert (result.attr_set, result.attr_clr) == (MOUNT_ATTR_NODEV, 0)
    assert parse(["rnoexec", "rexec"]).recursive_clr == MOUNT_ATTR_NOEXEC
    assert parse(["rnoexec", "rexec"]).recursive_set == 0


def test_superblock_flags() -> None:
    assert parse(["ro", "sync", "nosuid"]).sb_flags == ["ro", "sync"]
    assert parse(["ro", "rw", "async", "lazytime", "nolazytime", "dirsync"]).sb_flags == [
        "rw",
        "async",
        "nolazytime",
        "dirsync",
    ]
    assert parse(["mand"]).sb_flags == ["mand"]
    assert parse(["iversion"]).sb_flags_if_known == ["iversion"]
    assert parse(["iversion", "noiversion"]).sb_flags_if_known == []
    assert parse(["rro"]).sb_flags == []


def test_propagation_in_order() -> None:
    assert parse(["rslave", "shared"]).propagation == [0x80000 | MS_REC, 0x100000]
    assert parse(["private", "runbindable"]).propagation == [0x40000, 0x20000 | MS_REC]


def test_actions() -> None:
    assert parse(["bind"]).bind
    assert not parse(["bind"]).rbind
    assert parse(["rbind"]).bind
    assert parse(["rbind"]).rbind
    assert parse(["ridmap"]).idmap
    assert not parse(["idmap"]).ridmap
    result = parse(["remount", "tmpcopyup", "src-nofollow", "dest-nofollow", "copy-symlink"])
    assert result.remount
    assert result.tmpcopyup
    assert result.src_nofollow
    assert result.dest_nofollow
    assert result.copy_symlink
    assert not result.bind


def test_data() -> None:
    result = parse(["mode=755", "size=65536k", "newinstance", "nosuid", "gid=5", ""])
    assert result.data == ["mode=755", "size=65536k", "newinstance", "gid=5"]
    context = 'context="system_u:object_r:svirt_sandbox_file_t:s0:c1,c2"'
    assert parse([f"{context},mode=1"]).data == [context.replace('"', ""), "mode=1"]
    assert parse(["lowerdir=/a\\,b:/c,index=off"]).data == ["lowerdir=/a\\,b:/c", "index=off"]
    assert parse(["mpol=bind:0,2,mode=755"]).data == ["mpol=bind:0,2", "mode=755"]
    assert parse(["rmode=5", "rsize"]).data == ["rmode=5", "rsize"]


@given(st.lists(st.sampled_from(known_options()), max_size=12))
def test_sets_and_clears_never_contradict(options: list[str]) -> None:
    result = parse(options)
    for bits_set, bits_clr in (
        (result.attr_set, result.attr_clr),
        (result.recursive_set, result.recursive_clr),
    ):
        assert bits_set & bits_clr & ~MOUNT_ATTR_ATIME == 0
        if bits_set & MOUNT_ATTR_ATIME:
            assert bits_clr & MOUNT_ATTR_ATIME == MOUNT_ATTR_ATIME
    assert result.data == []
    assert ("ro" in result.sb_flags) == result.read_only


@given(st.lists(st.sampled_from(known_options()), max_size=8), st.text(max_size=6))
def test_joining_options_with_commas_changes_nothing(options: list[str], extra: str) -> None:
    extra = extra.replace(",", "").replace('"', "").replace("\\", "").lstrip("0123456789")
    one, other = parse([",".join([*options, extra])]), parse([*options, extra])
    for name in one.__slots__:
        assert getattr(one, name) == getattr(other, name)


def test_idmap_with_mappings_inside() -> None:
    """crun's option: `spec.idmap_option` reads what is in it."""
    meant = parse(["rbind", "ridmap=uids=0-1-2#2-9-1;gids=0-1-1"])
    assert (meant.idmap, meant.ridmap, meant.data) == (True, True, [])
    assert meant.idmap_text == "ridmap=uids=0-1-2#2-9-1;gids=0-1-1"
    assert not parse(["idmap=uids=0-1-1;gids=0-1-1"]).ridmap


@pytest.mark.parametrize(
    ("option", "uids", "gids"),
    [
        ("idmap=uids=0-5-1;gids=0-6-2", [(0, 5, 1)], [(0, 6, 2)]),
        ("idmap=gids=0-6-2#9-1-1;uids=0-5-1", [(0, 5, 1)], [(0, 6, 2), (9, 1, 1)]),
        # The second is an id of the container; a range is cut where the container's mappings are.
        ("ridmap=uids=@7-1-1;gids=0-6-2", [(7, 1001, 1)], [(0, 6, 2)]),
        ("idmap=uids=@0-9-3;gids=@5-10-1", [(0, 1009, 1), (1, 5000, 2)], [(5, 70, 1)]),
    ],
)
def test_mappings_inside_the_option(
    option: str, uids: list[tuple[int, int, int]], gids: list[tuple[int, int, int]]
) -> None:
    container = [(0, 1000, 10), (10, 5000, 10)]
    assert mappings_of(option, container, [(0, 60, 20)]) == (uids, gids)
