"""CRIU that is missing, too old, or something else; and the conversation with it, by a stand-in."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ociruntime.checkpoint import messages as m
from ociruntime.checkpoint import program
from ociruntime.checkpoint.program import Conversation, Criu, CriuError, find, text_of
from ociruntime.errors import OciError
from ociruntime.process import patience

if TYPE_CHECKING:
    from ociruntime.spec.documents import Config

# A CRIU of version VERSION that knows FEATURES, announces what it does, and ends.
STAND_IN = """#!{python} -I
import socket, sys
sys.path.insert(0, {checkout!r})
from ociruntime.checkpoint import messages as m
from ociruntime.protobuf import Message, STRING, INT, BOOL

connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, int(sys.argv[2]))
assert sys.argv[1] == "swrk"
REQUEST = m.REQUEST.decode(connection.recv(65536))
def say(**values):
    connection.send(m.RESPONSE.encode(values))
if REQUEST["type"] == m.VERSION:
    major, minor = {version}
    say(type=m.VERSION, success=True, version=dict(major=major, minor=minor, sublevel=1))
elif REQUEST["type"] == m.FEATURE_CHECK:
    say(type=m.FEATURE_CHECK, success=True, features={features})
elif REQUEST["type"] == m.DUMP:
    say(type=m.NOTIFY, success=True, notify=dict(script="pre-dump", pid=7))
    assert m.REQUEST.decode(connection.recv(65536))["notify_success"]
    say(type=m.DUMP, success=False, cr_errmsg="no")
"""


def stand_in(
    tmp_path: Path, version: tuple[int, int] = (4, 2), features: dict[str, bool] | None = None
) -> str:
    path = tmp_path / "criu"
    checkout = str(Path(m.__file__).resolve().parents[2])
    path.write_text(
        STAND_IN.format(
            python=sys.executable, checkout=checkout, version=version, features=features or {}
        )
    )
    path.chmod(0o755)
    return str(path)


def test_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = stand_in(tmp_path)
    monkeypatch.setenv("PATH", f"relative:{tmp_path}")
    monkeypatch.setattr(os, "environ", os.environ)
    posix_environ = sys.modules["posix"].environ
    monkeypatch.setitem(posix_environ, b"PATH", f"relative:{tmp_path}".encode())
    assert find(None) == path
    assert find("criu") == path
    assert find(path) == path


def test_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ociruntime.checkpoint.program.DIRECTORIES", str(tmp_path))
    monkeypatch.setitem(sys.modules["posix"].environ, b"PATH", os.fsencode(tmp_path))
    with pytest.raises(CriuError, match=r"need CRIU, and there is no program criu; install CRIU"):
        find(None)
    with pytest.raises(CriuError, match=r"--criu .*/none: there is no such program"):
        find(f"{tmp_path}/none")


def test_versions(tmp_path: Path) -> None:
    assert Criu(stand_in(tmp_path)).version == (4, 2, 1)
    assert text_of((4, 2, 1)) == "4.2.1"
    assert text_of((4, 2, 0)) == "4.2"
    with pytest.raises(CriuError, match=r"is CRIU 3\.15\.1, which is too old; 3\.16 or a newer"):
        Criu(stand_in(tmp_path, (3, 15)))


def test_who_loses_no_new_privs(tmp_path: Path) -> None:
    """CRIU 3.17 restores the processes without: refused before anything is done."""
    found = []
    for version in ((3, 17), (3, 18)):
        directory = tmp_path / str(version[1])
        directory.mkdir()
        found.append(Criu(stand_in(directory, version)))
    old, new = found
    config: Config = {"ociVersion": "1.2.0", "process": {"args": ["a"], "cwd": "/"}}
    old.require_kept(config)
    config["process"]["noNewPrivileges"] = True
    new.require_kept(config)
    with pytest.raises(CriuError, match=r"3\.17\.1, which does not keep no_new_privs.* 3\.18 or"):
        old.require_kept(config)


def test_a_version_is_asked_for_once(tmp_path: Path) -> None:
    """Until the program is another one, or somebody has damaged the note."""
    path = stand_in(tmp_path)
    root = tmp_path / "root"
    root.mkdir()
    assert Criu(path, str(root)).version == (4, 2, 1)
    note = root / ".criu-version"
    noted = note.read_text()
    assert [name.name for name in root.iterdir()] == [".criu-version"]
    note.write_text(noted.replace("4.2.1", "4.9.9"))
    assert Criu(path, str(root)).version == (4, 9, 9)
    for damage in ("", noted.splitlines()[0], noted.replace("4.2.1", "4.x"), "\n4.2.1"):
        note.write_text(damage)
        assert Criu(path, str(root)).version == (4, 2, 1)
    stand_in(tmp_path, (4, 30))
    os.utime(path, (1, 1))
    assert Criu(path, str(root)).version == (4, 30, 1)


def test_features(tmp_path: Path) -> None:
    made = Criu(stand_in(tmp_path, features={"mem_track": True}))
    made.require(mem_track=True)
    with pytest.raises(CriuError, match="cannot do lazy-pages on this kernel"):
        made.require(mem_track=True, lazy_pages=True)


def test_something_else() -> None:
    with pytest.raises(CriuError, match=r"/bin/true ended without an answer; exit status 0"):
        Criu("/bin/true")


def test_what_cannot_be_executed(tmp_path: Path) -> None:
    path = tmp_path / "criu"
    path.write_text("no program")
    path.chmod(0o755)
    with pytest.raises(CriuError, match="exec format error"):
        Criu(str(path))


def test_conversation(tmp_path: Path) -> None:
    """Notifications are answered, and a refusal is one."""
    conversation = Conversation(stand_in(tmp_path))
    conversation.send({"type": m.DUMP})
    answer, fds = conversation.receive()
    assert answer["notify"] == {"script": "pre-dump", "pid": 7}
    assert fds == []
    conversation.acknowledge()
    answer, _ = conversation.receive()
    assert (answer["type"], answer["success"], answer["cr_errmsg"]) == (m.DUMP, False, "no")
    conversation.end()


def test_before(tmp_path: Path) -> None:
    """What is done in CRIU's process first, and what goes wrong there, is told by ours."""

    def prepare() -> list[int]:
        (tmp_path / "prepared").touch()
        return []

    conversation = Conversation(stand_in(tmp_path), before=prepare)
    conversation.send({"type": m.VERSION})
    assert conversation.receive()[0]["success"]
    conversation.end()
    assert (tmp_path / "prepared").exists()

    def fail() -> list[int]:
        raise CriuError("the mounts for CRIU: no")

    with pytest.raises(CriuError, match="the mounts for CRIU: no"):
        Conversation(stand_in(tmp_path), before=fail)


def test_zeros_are_said() -> None:
    """In proto2 nothing said is not zero: of the cgroup modes `ignore` is 0."""
    said = m.REQUEST.encode({"type": m.DUMP, "opts": {"manage_cgroups_mode": 0}})
    assert said == bytes([8, 1, 18, 3, 34 << 3 & 0x7F | 0x80, 34 >> 4, 0])
    assert m.REQUEST.encode({"type": m.DUMP, "opts": {"manage_cgroups_mode": None}}) == bytes(
        [8, 1, 18, 0]
    )


HANGS = """#!{python} -I
import os, signal, sys, time
{first}
time.sleep(1000)
"""


def hanging(tmp_path: Path, first: str = "") -> str:
    """A program that never answers."""
    path = tmp_path / "criu"
    path.write_text(HANGS.format(python=sys.executable, first=first))
    path.chmod(0o755)
    return str(path)


def test_one_that_does_not_say_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(program, "QUESTION_SECONDS", 0.05)
    monkeypatch.setattr(program, "GRACE_SECONDS", 0.01)
    with pytest.raises(OciError, match=r"criu has not answered within 0\.05 s: is it CRIU\? inst"):
        Criu(hanging(tmp_path))
    assert children() == []


def test_nobody_waits_for_what_nobody_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(program, "GRACE_SECONDS", 0.01)
    asked = []

    def over() -> str:
        asked.append(1)
        return "it is deleted" if len(asked) > 2 else ""

    conversation = Conversation(hanging(tmp_path), over=over)
    with pytest.raises(OciError, match=r"^it is deleted$"):
        conversation.receive()
    conversation.end()
    assert children() == []


def test_one_that_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(patience, "HELD_SECONDS", 0.05)
    monkeypatch.setattr(program, "ENDING_SECONDS", 0.01)
    conversation = Conversation(hanging(tmp_path, "os.kill(os.getpid(), signal.SIGSTOP)"))
    with pytest.raises(OciError, match=r"CRIU \(process \d+\) is stopped by a signal and did not"):
        conversation.receive()
    conversation.end()
    assert children() == []


def test_one_whose_child_keeps_the_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "LOOK_SECONDS", 0.01)
    note = tmp_path / "child"
    first = f"pid = os.fork()\nif pid: open({str(note)!r}, 'w').write(str(pid)); os._exit(3)"
    with pytest.raises(CriuError, match="ended without an answer; exit status 3"):
        Criu(hanging(tmp_path, first))
    os.kill(int(note.read_text()), 9)


def children() -> list[int]:
    return patience.children_of(os.getpid())
