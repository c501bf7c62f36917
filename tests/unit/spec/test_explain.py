"""What is said about a bad document: all faults, each in its place, with a cure."""

from __future__ import annotations

import builtins
import copy
import json
import random
from pathlib import Path
from typing import Any

import pytest

from ociruntime.bundle import parse_settings
from ociruntime.cli.validate import main
from ociruntime.errors import SpecError, UsageError
from ociruntime.similar import distance, nearest
from ociruntime.spec import load, load_process, load_resources
from ociruntime.spec.explain import explain
from ociruntime.spec.fault import ERROR, WARNING
from ociruntime.spec.report import InvalidDocumentError

from .documents import FULL, MINIMAL, ODD_VALUES, encoded, full, mutated, places, put

BAD = b"""{
  "ociVersion": "1.0",
  "hostnam": "x",
  "root": {"path": "rootfs", "readonly": "true"},
  "process": {"args": [], "cwd": "tmp", "user": {"uid": 4294967295},
    "rlimits": [{"type": "RLIMIT_NOFIL", "soft": 1, "hard": 2},
                {"type": "RLIMIT_CPU", "soft": 5, "hard": 2}]},
  "mounts": [{"source": "x"},
             {"destination": "/proc/sys", "type": "tmpfs"},
             {"destination": "/a", "type": "tmpfs", "options": "ro"}],
  "rlimits": [],
  "linux": {"namespaces": [{"type": "mountt"}, {"type": "pid"}],
    "netDevices": {"a b": {}},
    "resources": {"memory": {"limit": "5", "swapines": 1, "swappiness": 101},
                  "pids": {"limit": "5"}}}
}
"""


def said(raw: bytes, kind: str = "config") -> dict[str, tuple[int, int, str, str]]:
    report = explain(raw, "FILE", kind)
    return {
        fault.pointer: (line, column, fault.message, fault.cure)
        for fault, line, column in report.placed
    }


def test_all_faults_at_once() -> None:
    assert said(BAD) == {
        "/ociVersion": (2, 17, '"1.0" is not a version number', 'use "1.3.0"'),
        "/root/readonly": (
            4,
            42,
            '"true" is a string, not true or false',
            "write true without quotes",
        ),
        "/process/args": (
            5,
            23,
            "[] is empty",
            'give the program and its arguments, for example ["sh"]',
        ),
        "/process/cwd": (
            5,
            34,
            '"tmp" is not an absolute path',
            'begin the path with /; use "/" if it does not matter',
        ),
        "/process/user/uid": (
            5,
            57,
            "4294967295 is out of range (0 to 4294967294)",
            "use an id from 0 to 4294967294",
        ),
        "/process/rlimits/0/type": (
            6,
            26,
            '"RLIMIT_NOFIL" is not a value of this property',
            'did you mean "RLIMIT_NOFILE"?',
        ),
        "/process/rlimits/1/soft": (
            7,
            48,
            "the soft limit of RLIMIT_CPU is above the hard limit 2",
            "lower soft or raise hard",
        ),
        "/mounts/0/destination": (
            8,
            14,
            '/mounts/0 has no "destination"',
            'add "destination"',
        ),
        "/mounts/1/destination": (
            9,
            30,
            "/proc/sys is inside /proc, where a mount could mislead the runtime",
            "choose a destination outside /proc; to hide a path use linux.maskedPaths",
        ),
        "/mounts/2/options": (
            10,
            64,
            '"ro" is a string, not an array',
            "put it in brackets: [ ... ]",
        ),
        "/linux/namespaces/0/type": (
            12,
            37,
            '"mountt" is not a value of this property',
            'did you mean "mount"?',
        ),
        "/linux/netDevices/a b": (
            13,
            20,
            '"a b" is not a name for a network interface',
            'use 1 to 15 characters without "/", ":" or a space',
        ),
        "/linux/resources/memory/limit": (
            14,
            39,
            '"5" is a string, not an integer',
            "write the number without quotes",
        ),
        "/linux/resources/memory/swappiness": (
            14,
            73,
            "101 is out of range (0 to 100)",
            "use a number from 0 to 100",
        ),
        "/linux/resources/pids/limit": (
            15,
            37,
            '"5" is a string, not an integer',
            "write the number without quotes",
        ),
        "/process/user/gid": (5, 49, "user has no gid: 0 is taken", 'add "gid": 0'),
        "/hostnam": (
            3,
            3,
            'the property "hostnam" is unknown and is ignored',
            'did you mean "hostname"?',
        ),
        "/rlimits": (
            11,
            3,
            'the property "rlimits" is unknown and is ignored',
            '"rlimits" belongs to /process/rlimits',
        ),
        "/linux/resources/memory/swapines": (
            14,
            44,
            'the property "swapines" is unknown and is ignored',
            'did you mean "swappiness"?',
        ),
    }


def test_errors_come_first_in_the_order_of_the_text() -> None:
    report = explain(BAD, "FILE")
    errors = [(line, column) for fault, line, column in report.placed if fault.level == ERROR]
    assert errors == sorted(errors)
    levels = [fault.level for fault, _, _ in report.placed]
    assert levels == [ERROR] * 15 + [WARNING] * 4
    assert report.summary() == "FILE: invalid (15 errors, 4 warnings)"


def test_a_mistyped_namespace_is_one_fault() -> None:
    """Nothing else is said about what would need the namespace that was meant."""
    document = full()
    document["linux"]["namespaces"][0]["type"] = "mnt"
    assert list(said(encoded(document))) == [
        "/linux/namespaces/0/type",
        "/process/commandLine",
        "/process/user/username",
        "/hooks/prestart",
    ]


MEMBERS = [path for path in list(places(FULL))[1:] if isinstance(path[-1], str)]


@pytest.mark.parametrize("path", MEMBERS, ids=lambda path: "/".join(map(str, path)))
def test_null_is_absence(path: tuple[str | int, ...]) -> None:
    """In Go and in crun a property that is null is not there: what is said of it is the same."""
    absent = full()
    around: Any = absent
    for step in path[:-1]:
        around = around[step]
    del around[path[-1]]
    raw, expected = encoded(put(full(), path, None)), encoded(absent)
    assert parse_settings(raw, "FILE") == absent

    def outcome(text: bytes) -> list[str]:
        return sorted(f"{fault.level} {fault}" for fault, _, _ in explain(text, "FILE").placed)

    assert outcome(raw) == outcome(expected)


def test_null_in_an_array_is_a_fault() -> None:
    document = put(full(), ("process", "env", 0), None)
    assert said(encoded(document))["/process/env/0"][2] == "null is null, not a string"


@pytest.mark.parametrize("number", ["10.0", "1e1", "-0.0", "1E9"])
def test_a_fraction_is_no_integer(number: str, monkeypatch: pytest.MonkeyPatch) -> None:
    document = MINIMAL | {"linux": {"resources": {"pids": {"limit": 7654321}}}}
    raw = encoded(document).replace(b"7654321", number.encode())
    with pytest.raises(InvalidDocumentError, match=r"/linux/resources/pids/limit: .* a fraction"):
        load(raw, parse_settings(raw, "FILE"), source="FILE")
    monkeypatch.setattr("ociruntime.spec.explain._validator", _not_installed)
    with pytest.raises(InvalidDocumentError, match=r"/linux/resources/pids/limit: .* a fraction"):
        load(raw, parse_settings(raw, "FILE"), source="FILE")


@pytest.mark.parametrize(("number", "cure"), [("1e9", "write 1000000000"), ("0.5", "give bytes")])
def test_the_cure_of_a_fraction_is_the_number(number: str, cure: str) -> None:
    raw = encoded(MINIMAL | {"linux": {"resources": {"memory": {"limit": 7654321}}}})
    fault = said(raw.replace(b"7654321", number.encode()))["/linux/resources/memory/limit"]
    assert fault[3].startswith(cure)


def _not_installed() -> Any:
    raise ImportError("jsonschema")


@pytest.mark.parametrize(
    ("part", "value", "missing"),
    [
        ("user", {}, ["uid", "gid"]),
        ("user", {"uid": 5}, ["gid"]),
        ("user", {"uid": 0, "gid": None}, ["gid"]),
        ("ioPriority", {"class": "IOPRIO_CLASS_BE"}, ["priority"]),
    ],
)
def test_what_is_taken_for_zero_is_a_warning(
    part: str, value: dict[str, Any], missing: list[str]
) -> None:
    document = MINIMAL | {"process": {"cwd": "/", "args": ["sh"], part: value}}
    raw = encoded(document)
    assert load(raw, parse_settings(raw, "FILE"), source="FILE") == [
        f'FILE: /process/{part}/{name}: {part} has no {name}: 0 is taken; add "{name}": 0'
        for name in missing
    ]
    process = encoded(document["process"])
    assert load_process(process, parse_settings(process, "FILE"), source="FILE") == [
        f'FILE: /{part}/{name}: {part} has no {name}: 0 is taken; add "{name}": 0'
        for name in missing
    ]


def test_a_mistyped_system_call_is_a_warning_in_its_place() -> None:
    document = full()
    document["linux"]["seccomp"]["syscalls"][0]["names"] = ["getcwd", "opneat", "no_such_call"]
    raw = encoded(document)
    report = explain(raw, "FILE")
    assert report.valid
    assert said(raw)["/linux/seccomp/syscalls/0/names/1"][2:] == (
        "opneat is no system call, the rule for it is left out",
        'did you mean "openat"?',
    )
    assert "/linux/seccomp/syscalls/0/names/2" not in said(raw)
    document["linux"]["seccomp"]["syscalls"] = [5]
    assert next(iter(said(encoded(document)))) == "/linux/seccomp/syscalls/0"


def test_broken_json_is_one_fault() -> None:
    assert said(b'{"a": 1,}') == {
        "": (1, 8, 'there is a "," before the "}"; remove it', "correct the text")
    }


def test_the_text_has_everything() -> None:
    text = explain(BAD, "FILE").text()
    assert text.startswith("FILE: invalid (15 errors, 4 warnings)\nFILE:2:17: error: /ociVersion: ")
    assert "    rule: config.md#process: cwd is REQUIRED and MUST be an absolute path\n" in text
    assert '    cure: did you mean "hostname"?\n' in text
    assert "    value: 5\n" in text


def test_hostile_text_stays_on_its_line() -> None:
    text = explain(b'{"ociVersion": "1\\n\\u001b[31m", "x\\ny": 1}', "FILE").text()
    assert "\x1b" not in text
    assert all(line.startswith(("FILE", "    ")) for line in text.splitlines())


@pytest.mark.parametrize("path", list(places(FULL))[1:], ids=lambda path: "/".join(map(str, path)))
def test_every_fault_has_words(path: tuple[str | int, ...]) -> None:
    """No raw wording, no empty cure, a place inside the text, whatever is put where."""
    chance = random.Random(str(path))
    for value in chance.sample(ODD_VALUES, 3):
        raw = encoded(put(full(), path, copy.deepcopy(value)))
        lines = raw.decode().splitlines()
        report = explain(raw, "FILE")
        try:
            load(raw, parse_settings(raw, "FILE"), source="FILE")
        except SpecError:
            assert not report.valid
        else:
            assert report.valid
        for fault, line, column in report.placed:
            assert fault.message, fault
            assert fault.cure, fault
            assert fault.rule, fault
            assert not any(word in fault.message for word in ("instance", "anyOf", "$(?!"))
            assert 1 <= line <= len(lines)
            assert 1 <= column <= len(lines[line - 1])


def test_without_jsonschema_the_same_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(1)
    samples = [BAD] + [encoded(mutated(FULL, chance)) for _ in range(40)]
    expected = [explain(raw, "FILE").as_dict() for raw in samples]
    real = builtins.__import__

    def without(name: str, *arguments: Any, **more: Any) -> Any:
        if name == "jsonschema":
            raise ImportError(name)
        return real(name, *arguments, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    assert [explain(raw, "FILE").as_dict() for raw in samples] == expected


def test_load_returns_warnings() -> None:
    assert load(encoded(MINIMAL), MINIMAL, source="FILE") == []
    document = MINIMAL | {"windows": {}, "extra": 1}
    assert load(encoded(document), document, source="FILE") == [
        "FILE: /windows: windows is for another platform and is ignored; remove it",
        (
            'FILE: /extra: the property "extra" is unknown and is ignored; remove it, or see the'
            " specification for its name"
        ),
    ]


def test_load_refuses_with_the_text_of_validate() -> None:
    with pytest.raises(InvalidDocumentError) as caught:
        load(BAD, json.loads(BAD), source="FILE")
    error = caught.value
    assert str(error) == (
        'FILE:2:17: /ociVersion: "1.0" is not a version number; use "1.3.0"'
        " (and 14 more; run `ociruntime validate`)"
    )
    assert error.pointer == "/ociVersion"
    assert error.report.text() == explain(BAD, "FILE").text()


def test_load_refuses_a_broken_rule() -> None:
    document = MINIMAL | {"hostname": "a"}
    with pytest.raises(SpecError) as caught:
        load(encoded(document), document, source="FILE")
    assert "/hostname: hostname needs a uts namespace" in str(caught.value)
    assert "more;" not in str(caught.value)


def test_process_and_resources() -> None:
    good = {"cwd": "/", "args": ["sh"], "env": ["A"]}
    assert load_process(encoded(good), good, source="FILE") == [
        'FILE: /env/0: the entry is not of the form NAME=value; write it as "NAME=value"'
    ]
    bad = {"cwd": "/", "args": ["sh"], "rlimits": [{"type": "RLIMIT_CPU", "soft": 2, "hard": 1}]}
    with pytest.raises(SpecError, match=r"FILE:\d+:\d+: /rlimits/0/soft: the soft limit"):
        load_process(encoded(bad), bad, source="FILE")
    limits: dict[str, Any] = {"memory": {"swap": 5}, "cpus": 1}
    assert len(load_resources(encoded(limits), limits, source="FILE")) == 1
    limits = {"memory": {"limit": "5m"}}
    with pytest.raises(SpecError, match="/memory/limit"):
        load_resources(encoded(limits), limits, source="FILE")


def validate(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    status = main(list(words), None)  # type: ignore[arg-type]
    return status, capfd.readouterr().out


def test_validate_file_and_bundle(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "config.json"
    config.write_bytes(encoded(MINIMAL))
    (tmp_path / "rootfs").mkdir()
    assert validate(capfd, str(config)) == (0, f"{config}: valid\n")
    assert validate(capfd, "--bundle", str(tmp_path)) == (0, f"{config}: valid\n")
    assert validate(capfd, str(tmp_path)) == (0, f"{config}: valid\n")
    config.write_bytes(BAD)
    status, text = validate(capfd, str(config))
    assert status == 1
    assert text == explain(BAD, str(config)).text()
    config.write_bytes(b"{")
    assert validate(capfd, str(config))[0] == 1


@pytest.mark.parametrize("kind", ["absent", "a file"])
def test_validate_sees_that_the_bundle_has_no_rootfs(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], kind: str
) -> None:
    config = tmp_path / "config.json"
    config.write_bytes(encoded(MINIMAL))
    if kind == "a file":
        (tmp_path / "rootfs").touch()
    status, text = validate(capfd, "--bundle", str(tmp_path))
    assert status == 1
    assert ": error: /root/path: " in text
    assert "rule: config.md#root" in text
    assert validate(capfd, str(config))[0] == 0, "a file alone is of no bundle"


def test_validate_as_json(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "config.json"
    config.write_bytes(BAD)
    status, text = validate(capfd, "--format=json", str(config))
    assert status == 1
    result = json.loads(text)
    assert (result["valid"], result["errors"], result["warnings"]) == (False, 15, 4)
    assert result["faults"][0] == {
        "level": "error",
        "pointer": "/ociVersion",
        "line": 2,
        "column": 17,
        "value": "1.0",
        "message": '"1.0" is not a version number',
        "rule": "config.md#specification-version: ociVersion is REQUIRED and MUST be in SemVer"
        " v2.0.0 format",
        "cure": 'use "1.3.0"',
    }


def test_validate_standard_input(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config.json"
    config.write_bytes(encoded(MINIMAL))
    monkeypatch.setattr("ociruntime.cli.validate.read_all", lambda _fd, _where: config.read_bytes())
    assert validate(capfd, "-") == (0, "standard input: valid\n")


def test_validate_other_kinds(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "state.json"
    state = {"ociVersion": "1.0.0", "id": "a", "status": "runing", "bundle": "/b"}
    file.write_text(json.dumps(state))
    status, text = validate(capfd, "--kind", "state", str(file))
    assert status == 1
    assert '/status: "runing" is not a value' in text
    assert 'did you mean "running"?' in text
    file.write_text('{"ociVersionMin": "1.0.0", "ociVersionMax": "1.3.0", "hooks": null}')
    assert validate(capfd, "--kind", "features", str(file))[0] == 0


@pytest.mark.parametrize(
    "words", [["--format", "xml"], ["--kind", "x"], ["--bundle", "a", "b"], ["--x"]]
)
def test_validate_usage(words: list[str]) -> None:
    with pytest.raises(UsageError):
        main(words, None)  # type: ignore[arg-type]


def test_validate_missing_file() -> None:
    with pytest.raises(SpecError, match="No such file"):
        main(["/nonexistent/config.json"], None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("hostnam", "hostname"),
        ("Hostname", "hostname"),
        ("hsotname", "hostname"),
        ("rot", "root"),
        ("xyzzy", ""),
        ("", ""),
    ],
)
def test_did_you_mean(word: str, meant: str) -> None:
    assert nearest(word, ["hostname", "root", "process"]) == meant


def test_distance() -> None:
    assert distance("abc", "acb", 9) == 1
    assert distance("", "abc", 9) == 3
    assert distance("kitten", "sitting", 9) == 3
    assert distance("kitten", "sitting", 2) == 2


def test_a_name_in_another_case_is_another_name() -> None:
    """It counts for runc, whose reader does not look at the case, and for nobody else."""
    text = b'{"ociVersion": "1.0.2", "root": {"path": "r"}, "HostName": "b"}'
    found = [fault for fault, _, _ in explain(text, "FILE").placed]
    (entry,) = [fault for fault in found if "HostName" in fault.pointer]
    assert (entry.level, entry.cure) == (WARNING, 'did you mean "hostname"?')
