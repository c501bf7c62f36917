"""Reading bundles: limits, refusals with their place, odd files."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ociruntime import bundle
from ociruntime.bundle import (
    SIZE_LIMIT,
    open_bundle,
    parse,
    parse_object,
    parse_settings,
    read_file,
)
from ociruntime.errors import SpecError
from ociruntime.jsonplaces import find_fault, locate
from ociruntime.jsontext import DEPTH_LIMIT

from .documents import CHECKOUT

# (text, line, column, a piece of what is said)
REFUSED: list[tuple[bytes, int, int, str]] = [
    (b"", 1, 1, "empty"),
    (b" \n ", 1, 1, "empty"),
    (b"{", 1, 2, "ends inside the object that begins in line 1"),
    (b'{\n "a": 1,\n}', 2, 8, "remove it"),
    (b"[1,2,]", 1, 5, "remove it"),
    (b"[1 2]", 1, 4, '"," or "]"'),
    (b'{"a" 1}', 1, 6, '":" after "a"'),
    (b"{a: 1}", 1, 2, "property name in double quotes"),
    (b"{'a': 1}", 1, 2, "single quote"),
    (b"{\n// x\n}", 2, 1, "comment"),
    (b'{"a": 1} x', 1, 10, "more text"),
    (b'{"a": 1, "b": 2, "a": 3}', 1, 18, '"a" is given twice'),
    (b'{"x": {"a": 1, "\\u0061": 3}}', 1, 16, '"a" is given twice'),
    (b'{"a": NaN}', 1, 7, "NaN"),
    (b'{"a": Infinity}', 1, 7, "Infinity"),
    (b'{"a": -Infinity}', 1, 7, "Infinity"),
    (b'{"a": True}', 1, 7, "write true"),
    (b'{"a": nul}', 1, 7, "nul"),
    (b'{"a": 01}', 1, 7, "begins with 0"),
    (b'{"a": 1.}', 1, 7, "digit is missing"),
    (b'{"a": -}', 1, 7, "digit is missing"),
    (b'{"a": 1e}', 1, 7, "digit is missing"),
    (b'{"a": .5}', 1, 7, '"."'),
    (b'{"a": 18446744073709551616}', 1, 7, "64 bits"),
    (b'{"a": -9223372036854775809}', 1, 7, "64 bits"),
    (b'{"a": ' + b"9" * 5000 + b"}", 1, 7, "64 bits"),
    (b'{"a": 1e400}', 1, 7, "too large"),
    (b'{"a": 9007199254740993.0}', 1, 7, "too large"),
    (b'{"a": "x\ny"}', 1, 9, "a line break"),
    (b'{"a": "x\x01"}', 1, 9, "U+0001"),
    (b'{"a": "x', 1, 7, "no closing quote"),
    (b'{"a": "\\x"}', 1, 8, "escape"),
    (b'{"a": "\\u00g0"}', 1, 8, "escape"),
    (b'{"a": "x\\u0000y"}', 1, 7, "U+0000"),
    (b'{"a\\u0000": 1}', 1, 2, "U+0000"),
    (b'{"a": ["\\ud800"]}', 1, 8, "surrogate"),
    (b'{"a": "\\udc00\\ud800"}', 1, 7, "surrogate"),
    (b'{"\\uDFFF": 1}', 1, 2, "surrogate"),
    (b"\xef\xbb\xbf{}", 1, 1, "byte order mark"),
    (b"\xff\xfe{\x00}\x00", 1, 1, "byte order mark"),
    (b'{\n"a": "\xff"}', 2, 7, "0xff is not UTF-8"),
    (b'{"\xc3\xa9": "\xed\xa0\x80"}', 1, 8, "not UTF-8"),
    (b"[" * 65 + b"]" * 65, 1, 65, "64 levels"),
    (b"[" * 100000, 1, 65, "64 levels"),
    (b'{"a":' * 65 + b"1" + b"}" * 65, 1, 5 * 64 + 1, "64 levels"),
    (b'[{"a":' * 33 + b'"]}"' + b"}]" * 33, 1, 6 * 32 + 1, "64 levels"),
    (b'["]",' * 65 + b"1" + b',"["]' * 65, 1, 5 * 64 + 1, "64 levels"),
    (b'["\\"]",' * 65 + b"1" + b',"\\"["]' * 65, 1, 7 * 64 + 1, "64 levels"),
    (b'["]\\\\",' * 65 + b"1" + b',"\\\\["]' * 65, 1, 7 * 64 + 1, "64 levels"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "column", "piece"), REFUSED, ids=lambda v: str(v)[:40])
def test_refused(text: bytes, line: int, column: int, piece: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse(text, "FILE")
    assert str(caught.value).startswith(f"FILE:{line}:{column}: ")
    assert piece in str(caught.value)
    assert "\n" not in str(caught.value)


def test_refused_where_json_is_not_imported() -> None:
    """The C scanner reports its faults in another way then."""
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from ociruntime.bundle import parse\n"
        "from ociruntime.errors import SpecError\n"
        "assert 'json' not in sys.modules\n"
        "for text in sys.argv[2:]:\n"
        "    try: parse(bytes.fromhex(text), 'FILE')\n"
        "    except SpecError as error: print(str(error).partition(': ')[0])\n"
    )
    cases = [case for case in REFUSED if len(case[0]) < 10000]  # an argument has a limit
    expected = [f"FILE:{line}:{column}" for _, line, column, _ in cases]
    # One process for each: the first refusal may import what the next one would miss.
    for (text, *_), answer in list(zip(cases, expected, strict=True))[::4]:
        command = [sys.executable, "-I", "-S", "-c", program, str(CHECKOUT), text.hex()]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == answer, text[:40]
    command = [sys.executable, "-I", "-S", "-c", program, str(CHECKOUT)]
    command += [text.hex() for text, *_ in cases]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == expected


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b" {} ", {}),
        (b"[18446744073709551615, -9223372036854775808, -0]", [2**64 - 1, -(2**63), 0]),
        (b"[1.0, 1e3, -2.0, 1.5, -0.0]", [1.0, 1000.0, -2.0, 1.5, -0.0]),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b'"\\\\u0000 \\\\ud800"', "\\u0000 \\ud800"),
        ('"é\u2028"'.encode(), "é\u2028"),
        (b"[" * 64 + b"]" * 64, None),
        (b'["' + b"[{" * 99 + b'"]', ["[{" * 99]),
    ],
)
def test_accepted(text: bytes, value: Any) -> None:
    document = parse(text, "FILE")
    if value is not None:
        assert document == value
        assert repr(document) == repr(value)  # 1.0 and 1, True and 1 are equal to Python


def test_the_document_must_be_an_object() -> None:
    for function in (parse_object, parse_settings):
        for text in (b"[]", b"null"):
            with pytest.raises(SpecError, match="not a JSON object"):
                function(text, "FILE")


def test_settings_have_no_null_members() -> None:
    text = b'{"a": null, "b": {"c": null, "d": [null, {"e": null}]}, "f": {"g": null}, "h": "null"}'
    assert parse_settings(text, "FILE") == {"b": {"d": [None, {}]}, "f": {}, "h": "null"}
    assert list(parse_object(text, "FILE")) == ["a", "b", "f", "h"]


def test_a_key_given_twice_is_refused_whatever_it_has() -> None:
    for text in (b'{"a": null, "a": null}', b'{"a": null, "a": 1}', b'{"a": 1, "a": null}'):
        with pytest.raises(SpecError, match="given twice"):
            parse_settings(text, "FILE")


texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
documents = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | texts
    | st.floats(-1e15, 1e15),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@settings(deadline=None)
@given(documents, st.booleans(), st.sampled_from([None, 1, "\t"]))
def test_parses_what_json_writes(document: Any, ascii_only: bool, indent: int | str | None) -> None:
    raw = json.dumps(document, ensure_ascii=ascii_only, indent=indent).encode()
    assert parse(raw, "FILE") == document
    assert repr(parse(raw, "FILE")) == repr(document)


@settings(deadline=None, max_examples=400)
@given(st.text('{}[]",:\\u0d8eE+-.19 \nntfa\u00e9', max_size=14) | st.binary(max_size=6))
def test_fast_and_slow_parser_agree(text: str | bytes) -> None:
    """Either both accept, or the slow one knows what is wrong; and neither takes more than json."""
    raw = text.encode() if isinstance(text, str) else text
    try:
        document = parse(raw, "FILE")
    except SpecError as error:
        said = str(error)
    else:
        assert document == json.loads(raw)
        locate(raw)
        return
    line, column, message = find_fault(raw)
    assert said == str(SpecError(f"FILE:{line}:{column}: {message}"))


def test_places() -> None:
    raw = '{\n  "é": [10,\n    {"a/b~": true}]\n}'.encode()
    places = locate(raw)
    assert places.value("") == (1, 1)
    assert places.key("/é") == (2, 3)
    assert places.value("/é") == (2, 8)
    assert places.value("/é/0") == (2, 9)
    assert places.value("/é/1/a~1b~0") == (3, 14)
    assert places.key("/é/1/a~1b~0") == (3, 6)
    assert places.value("/é/1/missing/more") == (3, 5)


def write(directory: Path, text: bytes = b'{"ociVersion": "1.0.0"}') -> Path:
    (directory / "config.json").write_bytes(text)
    return directory


def test_open_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path)
    (tmp_path / "link").symlink_to(".")
    monkeypatch.chdir(tmp_path)
    for name in (str(tmp_path), ".", "", "link"):
        with open_bundle(name) as opened:
            assert opened.path == str(tmp_path)
            assert not os.get_inheritable(opened.fd)
            raw, document = opened.read_config()
            assert raw == b'{"ociVersion": "1.0.0"}'
            assert document == {"ociVersion": "1.0.0"}
            fd = opened.fd
        opened.close()
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)


def test_config_with_another_name(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_bytes(b'{"a": 1}')
    with open_bundle(str(tmp_path)) as opened:
        assert opened.read_config("other.json")[1] == {"a": 1}
        assert opened.read_config(str(tmp_path / "other.json"))[1] == {"a": 1}


def test_missing_bundle_and_config(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"bundle .*/none: No such file or directory; give"):
        open_bundle(str(tmp_path / "none"))
    with (
        open_bundle(str(tmp_path)) as opened,
        pytest.raises(SpecError, match=r"^bundle .*: config.json: No such file or directory; make"),
    ):
        opened.read_config()


def test_bundle_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SpecError, match=r"Not a directory; a bundle is a directory"):
        open_bundle(str(tmp_path / "file"))
    with pytest.raises(SpecError, match="NUL"):
        open_bundle("a\0b")


@pytest.mark.parametrize("kind", ["directory", "fifo", "socket", "device"])
@pytest.mark.timeout(10)
def test_config_that_is_no_file(kind: str, tmp_path: Path) -> None:
    """None of them may hang or be read."""
    config = tmp_path / "config.json"
    if kind == "directory":
        config.mkdir()
    elif kind == "fifo":
        os.mkfifo(config)
    elif kind == "socket":
        os.mknod(config, 0o140644)
    else:
        config.symlink_to("/dev/null")
    with open_bundle(str(tmp_path)) as opened, pytest.raises(SpecError) as caught:
        opened.read_config()
    assert re.search(r"not a regular file|No such device", str(caught.value))


def test_unreadable_config(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    write(tmp_path)
    (tmp_path / "config.json").chmod(0)
    with (
        open_bundle(str(tmp_path)) as opened,
        pytest.raises(SpecError, match="Permission denied; the caller may not read it"),
    ):
        opened.read_config()


def test_size_limit(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_bytes(b"")
    os.truncate(config, SIZE_LIMIT + 1)
    with pytest.raises(SpecError, match="16 MiB"):
        read_file(str(config))
    config.write_bytes(b" " * (SIZE_LIMIT - 2) + b"{}")
    assert parse(read_file(str(config)), "FILE") == {}


def test_error_names_the_source(tmp_path: Path) -> None:
    write(tmp_path, b'{"a": }')
    with open_bundle(str(tmp_path)) as opened, pytest.raises(SpecError) as caught:
        opened.read_config()
    assert str(caught.value).startswith(f"{tmp_path}/config.json:1:7: expected a value")


def test_depth_limit_is_what_it_says() -> None:
    assert DEPTH_LIMIT == 64
    assert bundle.parse(b'{"a":' * 64 + b"1" + b"}" * 64, "FILE")
