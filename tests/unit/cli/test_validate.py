"""`validate`: many documents, strictness, formats for people and for programs."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from jsonschema.validators import validator_for

from ociruntime.spec.default import default_config

from ..spec.documents import CHECKOUT
from .caller import Outcome, call

SARIF = CHECKOUT / "build/npm/node_modules/@microsoft/jest-sarif/lib/schemas/sarif-2.1.0-rtm.5.json"


def write(path: Path, **changes: Any) -> Path:
    """A configuration in a bundle of its own, whose directory is `path`."""
    (path / "rootfs").mkdir(parents=True)
    file = path / "config.json"
    file.write_text(json.dumps({**default_config(), **changes}, indent=2))
    return file


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return write(tmp_path / "good")


@pytest.fixture
def typo(tmp_path: Path) -> Path:
    return write(tmp_path / "typo", hostnme="x")


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    return write(tmp_path / "b,ad: 100%", hostname=7, hooks={"poststop": [{"path": "relative"}]})


def validate(*words: str | Path) -> Outcome:
    return call(None, "validate", *map(str, words))


def test_strict_takes_warnings_for_errors(typo: Path, good: Path) -> None:
    loose = validate(typo)
    assert loose.status == 0
    assert loose.stdout.startswith(f"{typo}: valid (1 warning)\n")
    strict = validate("--strict", typo)
    assert strict.status == 1
    assert strict.stdout.startswith(f"{typo}: invalid (1 error)\n")
    assert ': error: /hostnme: the property "hostnme" is unknown' in strict.stdout
    assert 'cure: did you mean "hostname"?' in strict.stdout
    assert validate("--strict", good).status == 0


def test_notes_are_no_errors_even_so(tmp_path: Path) -> None:
    """What `create` takes as it is and `validate` only remarks on."""
    file = write(tmp_path / "note")
    report = json.loads(validate("--strict", "--format", "json", file).stdout)
    assert report["errors"] == 0


def test_many_files_and_directories(good: Path, typo: Path, bad: Path, tmp_path: Path) -> None:
    both = validate(good, bad)
    assert both.status == 1
    assert both.stdout.startswith(f"{good}: valid\n{bad}: invalid (2 errors)\n")
    assert both.stdout.endswith("2 documents, 1 invalid\n")
    below = validate(tmp_path)
    assert below.status == 1
    assert [line.split(": ")[-1] for line in below.stdout.splitlines() if ": valid" in line] == [
        "valid",
        "valid (1 warning)",
    ]
    assert below.stdout.endswith("3 documents, 1 invalid\n")
    assert validate(good.parent, typo.parent).status == 0


def test_one_bundle_is_told_as_before(good: Path) -> None:
    for words in ((good,), (good.parent,), ("--bundle", good.parent)):
        assert validate(*words).stdout == f"{good}: valid\n"
    report = validate("--format", "json", good).json()
    assert report["valid"] is True


def test_several_are_an_array(good: Path, bad: Path, tmp_path: Path) -> None:
    reports = json.loads(validate("--format", "json", good, bad).stdout)
    assert [(report["source"], report["valid"]) for report in reports] == [
        (str(good), True),
        (str(bad), False),
    ]
    assert len(json.loads(validate("--format", "json", tmp_path).stdout)) == 2


def test_what_cannot_be_read_does_not_hide_the_others(good: Path, bad: Path) -> None:
    done = validate(good, "/nonexistent/config.json", bad)
    assert done.status == 1
    assert "/nonexistent/config.json" in done.stderr
    assert f"{good}: valid\n" in done.stdout
    assert f"{bad}: invalid" in done.stdout
    assert validate(good, "/nonexistent/config.json").status == 1


def test_a_directory_without_any_is_told(tmp_path: Path) -> None:
    done = validate(tmp_path)
    assert (done.status, done.stdout) == (1, "")
    assert f"{tmp_path}: no config.json in it or below" in done.stderr


def test_schema_of_the_editor_is_accepted(tmp_path: Path) -> None:
    text = {"$schema": "../schemas/config.json"}
    assert validate("--strict", write(tmp_path / "top", **text)).status == 0
    assert validate("--strict", write(tmp_path / "deep", linux={"$schema": "x"})).status == 1


def test_sarif_is_valid_and_complete(good: Path, typo: Path, bad: Path) -> None:
    if not SARIF.exists():
        pytest.skip("no build/npm: `make test` installs it")
    done = validate("--format", "sarif", good, typo, bad)
    assert done.status == 1
    document = json.loads(done.stdout)
    schema = json.loads(SARIF.read_text())
    assert list(validator_for(schema)(schema).iter_errors(document)) == []
    (run,) = document["runs"]
    found = {}
    for result in run["results"]:
        place = result["locations"][0]
        uri = place["physicalLocation"]["artifactLocation"]["uri"]
        pointer = place["logicalLocations"][0]["fullyQualifiedName"]
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        region = place["physicalLocation"]["region"]
        found[uri.rsplit("/", 2)[1], pointer] = (result["level"], result["ruleId"])
        assert region["startLine"] > 1
    assert found == {
        ("typo", "/hostnme"): ("warning", "config.md#extensibility"),
        ("b%2Cad%3A%20100%25", "/hostname"): ("error", "config.md#hostname"),
        ("b%2Cad%3A%20100%25", "/hooks/poststop/0/path"): (
            "error",
            "config.md#posix-platform-hooks",
        ),
    }
    empty = json.loads(validate("--format", "sarif", good).stdout)
    assert list(validator_for(schema)(schema).iter_errors(empty)) == []
    assert empty["runs"][0]["results"] == []


def test_github_commands_are_escaped(bad: Path, typo: Path) -> None:
    done = validate("--format", "github", typo, bad)
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"::warning file={typo},line=")
    command = re.compile(r"::error file=([^,:]*),line=(\d+),col=(\d+),title=([^,:]*)::(.*)")
    found = [match.groups() for line in lines if (match := command.fullmatch(line))]
    assert {entry[3] for entry in found} == {"/hostname", "/hooks/poststop/0/path"}
    assert found[0][0] == str(bad).replace("%", "%25").replace(":", "%3A").replace(",", "%2C")
    assert f"{bad}: invalid (2 errors)".replace("%", "%25") in lines


@pytest.mark.parametrize(
    ("changes", "pointer", "meant"),
    [
        ({"process": {"cwd": "/", "args": ["x"], "capabilities": {"bounding": ["CAP_SYS_ADMN"]}}},
         "/process/capabilities/bounding/0", "CAP_SYS_ADMIN"),
        ({"mounts": [{"destination": "/a", "type": "tmpfs", "options": ["nosiud", "size=1m"]}]},
         "/mounts/0/options/0", "nosuid"),
        ({"mounts": [{"destination": "/a", "options": ["rbnd"], "source": "/"}]},
         "/mounts/0/options/0", "rbind"),
        ({"mounts": [{"destination": "/a", "options": ["bind", "rsalve"], "source": "/"}]},
         "/mounts/0/options/1", "rslave"),
    ],
)  # fmt: skip
def test_did_you_mean(tmp_path: Path, changes: dict[str, Any], pointer: str, meant: str) -> None:
    report = validate("--format", "json", write(tmp_path / "b", **changes)).stdout
    cures = {fault["pointer"]: fault["cure"] for fault in json.loads(report)["faults"]}
    assert cures[pointer] == f'did you mean "{meant}"?'


@pytest.mark.parametrize(
    "option",
    ["noac", "nolock", "memory", "noswap", "newinstance", "acl", "volatile", "nodelalloc", "ac"],
)
def test_options_of_file_systems_are_theirs(tmp_path: Path, option: str) -> None:
    mounts = [{"destination": "/a", "type": "x", "source": "y", "options": [option]}]
    assert validate("--strict", write(tmp_path / "b", mounts=mounts)).status == 0


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("kill", "--al", "c1"), "did you mean --all?"),
        (("--rot", "/x", "list"), "did you mean --root?"),
        (("validate", "--strct"), "did you mean --strict?"),
        (("kill", "c1", "TREM"), "did you mean TERM?"),
        (("kill", "c1", "sigkil"), "did you mean KILL?"),
        (("lst",), "did you mean list?"),
        (("validate", "--nothing-like-it"), "unknown option --nothing-like-it; see"),
        (("kill", "c1", "ÄÖÜ"), "use a number from 0 to 64"),
    ],
)
def test_the_command_line_too(tmp_path: Path, words: tuple[str, ...], meant: str) -> None:
    done = call(tmp_path, *words)
    assert done.status == 1
    assert meant in done.stderr


def test_the_hook_of_pre_commit(good: Path, typo: Path) -> None:
    """Its command takes file names behind it, and its pattern finds what bundles have."""
    text = (CHECKOUT / ".pre-commit-hooks.yaml").read_text()
    fields = dict(re.findall(r"^(?:- |  )(\w+): (.*)$", text, re.MULTILINE))
    program, *words = shlex.split(fields["entry"])
    assert program == "ociruntime"
    assert call(None, *words, str(good), str(good)).status == 0
    assert call(None, *words, str(good), str(typo)).status == 1
    wanted = re.compile(fields["files"])
    assert wanted.search("config.json")
    assert wanted.search("b/config.json")
    assert not wanted.search("b/my-config.json")
