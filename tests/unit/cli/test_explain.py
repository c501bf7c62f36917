"""`explain`: every property and every word of the tables, by any of its names."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ociruntime.features import UNSAFE_ANNOTATIONS
from ociruntime.kernel.signals import BY_NAME
from ociruntime.plan.annotations import ALL as ANNOTATIONS_WITH_A_MEANING
from ociruntime.plan.annotations import DELEGATED, FAIL_UNKNOWN, SUBGROUP
from ociruntime.spec import tables
from ociruntime.spec.mount_options import known_options
from ociruntime.spec.topics import (
    find,
    paths,
    property_topic,
    system_calls,
    vocabularies,
    word_topics,
)
from tests.support.screens import WIDTHS, check

from ..spec.documents import CHECKOUT
from .caller import call

TABLES: dict[str, Any] = {
    "capabilities": tables.CAPABILITIES,
    "propagation": tables.PROPAGATION,
    "rlimits": tables.RLIMITS,
    "namespaces": tables.NAMESPACES,
    "seccompActions": tables.SECCOMP_ACTIONS,
    "seccompOperators": tables.SECCOMP_OPERATORS,
    "seccompArchitectures": tables.SECCOMP_ARCHITECTURES,
    "seccompFlags": tables.SECCOMP_FLAGS,
    "schedulerPolicies": tables.SCHEDULER_POLICIES,
    "schedulerFlags": tables.SCHEDULER_FLAGS,
    "ioPriorities": tables.IOPRIO_CLASSES,
    "memoryPolicies": tables.MEMORY_POLICY_MODES,
    "memoryPolicyFlags": tables.MEMORY_POLICY_FLAGS,
    "personalities": tables.PERSONALITY_DOMAINS,
    "deviceTypes": tables.DEVICE_TYPES,
    "statuses": tables.STATUSES,
}


@pytest.mark.parametrize("name", TABLES)
def test_the_vocabularies_have_the_words_of_the_tables(name: str) -> None:
    words = vocabularies()[name]["words"]
    assert set(words) == set(TABLES[name])
    assert all(text.endswith(".") for text in words.values())


def test_every_option_of_mounts_and_every_signal_is_explained() -> None:
    for option in known_options():
        assert any(topic.kind.startswith("option of a mount") for topic in word_topics(option))
    signals = vocabularies()["signals"]["words"]
    aliases = {"IOT", "CLD", "POLL"}
    assert set(signals) == set(BY_NAME) - aliases
    assert set(vocabularies()) == {*TABLES, "mountOptions", "signals", "annotations"}


def test_every_annotation_with_an_effect_is_explained() -> None:
    words = set(vocabularies()["annotations"]["words"])
    unsafe = {name + "NAME" if name.endswith(".") else name for name in UNSAFE_ANNOTATIONS}
    assert words == unsafe | ANNOTATIONS_WITH_A_MEANING | {DELEGATED, FAIL_UNKNOWN, SUBGROUP}
    page = (CHECKOUT / "docs" / "usage.md").read_text()
    for word in words:
        assert f"`{word}`" in page
        (topic,) = find(word)
        assert (topic.kind, topic.places) == ("annotation", ["/annotations"])
        unsafe_word = "unsafe" in topic.description
        assert unsafe_word == (word in unsafe), word
    assert find("org.systemd.property.MemoryMax")[0].name == "org.systemd.property.NAME"
    done = call(None, "explain", "run.oci.keep_original_group")
    assert "did you mean run.oci.keep_original_groups?" in done.stderr


def test_system_calls() -> None:
    if not system_calls():
        pytest.skip("no libseccomp")
    (topic,) = find("ptrace")
    assert topic.kind == f"system call {system_calls()['ptrace']}"
    assert topic.kernel == "ptrace(2)"
    assert {topic.kind for topic in find("kill")} >= {"action of seccomp", "signal 9"}
    assert "did you mean ptrace?" in call(None, "explain", "ptrac").stderr


def test_what_engines_write_is_told_for_the_parts_of_it_too() -> None:
    assert find("rlimits.soft")[0].engines.startswith("for process.rlimits: docker run --ulimit")
    told = [path for path in paths("config") if path and property_topic(path, "config").engines]
    assert len(told) > 160


def test_every_property_is_found_by_pointer_and_by_dots() -> None:
    count = 0
    for path in paths("config"):
        names = [name for name in path if name != "*"]
        if not names:
            continue
        count += 1
        wanted = property_topic(path, "config")
        assert wanted.description, path
        assert wanted.rule, path
        for text in ("/" + "/".join(names), ".".join(names)):
            assert wanted in find(text), text
    assert count > 220


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("linux.seccomp.syscalls[3].args[0].op", "linux.seccomp.syscalls.args.op"),
        ("/linux/seccomp/syscalls/3/args/0/op", "linux.seccomp.syscalls.args.op"),
        ("$.linux.seccomp", "linux.seccomp"),
        ("memory.swap", "linux.resources.memory.swap"),
        ("swappiness", "linux.resources.memory.swappiness"),
        ("MEMORY.SWAP", "linux.resources.memory.swap"),
        ("rdma.hcaHandles", "linux.resources.rdma.hcaHandles"),
        ("sys_admin", "CAP_SYS_ADMIN"),
        ("CAP_SYS_ADMIN", "CAP_SYS_ADMIN"),
        ("SIGTERM", "TERM"),
        ("nofile", "RLIMIT_NOFILE"),
        ("errno", "SCMP_ACT_ERRNO"),
        ("tmpcopyup", "tmpcopyup"),
    ],
)
def test_names_and_words(text: str, name: str) -> None:
    assert [topic.name for topic in find(text)] == [name]


def test_one_word_with_several_meanings() -> None:
    found = [(topic.name, topic.kind) for topic in find("user")]
    assert found == [("process.user", "property"), ("user", "namespace")]
    listed = call(None, "explain", "--width", "80", "type").stdout
    assert listed.startswith("type is in ")
    assert "linux.namespaces.type" in listed


def test_the_whole_document_and_other_kinds() -> None:
    assert "  linux " in call(None, "explain").stdout
    assert "systemdUser" in call(None, "explain", "--kind", "features", "cgroup").stdout
    assert call(None, "explain", "--kind", "state", "pid").stdout.startswith("pid  property")


def test_what_nobody_knows_is_told_with_what_was_meant() -> None:
    done = call(None, "explain", "linux.resources.memory.swapp", "hostname")
    assert done.status == 1
    assert "did you mean linux.resources.memory.swap?" in done.stderr
    assert done.stdout.startswith("hostname  property")
    assert "did you mean CAP_SYS_ADMIN?" in call(None, "explain", "CAP_SYS_ADMN").stderr


def test_json() -> None:
    (topic,) = json.loads(call(None, "explain", "--format", "json", "memory.swap").stdout)
    assert topic["name"] == "linux.resources.memory.swap"
    assert topic["places"] == ["/linux/resources/memory/swap"]
    assert topic["example"] == 1073741824
    assert topic["kernel"].startswith("memory.swap.max")


def test_where_the_schema_is() -> None:
    file = Path(call(None, "explain", "--schema").stdout.strip())
    assert json.loads(file.read_text())["$id"] == "config.json"
    assert call(None, "explain", "--schema", "--kind", "state").stdout.endswith("/state.json\n")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("explain-swap", ["linux.resources.memory.swap"]),
        ("explain-capability", ["CAP_SYS_ADMIN"]),
        ("explain-propagation", ["rslave"]),
        ("explain-mounts", ["mounts"]),
        ("explain-all", []),
        ("explain-type", ["type"]),
    ],
)
def test_screens(name: str, words: list[str], width: int) -> None:
    check(name, width, call(None, "explain", "--width", str(width), *words).stdout)


def test_no_colours_but_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\033" not in call(None, "explain", "hostname").stdout
    assert "\033[1m" in on_a_terminal("explain", "hostname")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\033" not in on_a_terminal("explain", "hostname")


def on_a_terminal(*words: str) -> str:
    """What a command prints on a terminal of 80 columns."""
    from ociruntime.cli.main import main

    master, terminal = os.openpty()
    saved = os.dup(1)
    try:
        os.dup2(terminal, 1)
        main(list(words))
    finally:
        os.dup2(saved, 1)
        os.close(saved)
        os.close(terminal)
    text = os.read(master, 65536).decode()
    os.close(master)
    return text
