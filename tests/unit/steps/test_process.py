"""Looking for programs and home directories in a container's files, on the recorder."""

from __future__ import annotations

import pytest

from ociruntime.errors import OciError
from ociruntime.kernel import constants as c
from ociruntime.kernel.inroot import InRoot
from ociruntime.kernel.recorder import Recorder
from ociruntime.process.run import Run
from ociruntime.steps.process import FindProgram, candidates, home_of

FILE = c.S_IFREG | 0o755


@pytest.fixture
def run() -> Run:
    recorder = Recorder()
    recorder.add("/r/bin/tool", FILE)
    recorder.add("/r/first/tool", c.S_IFREG | 0o644)
    recorder.add("/r/first/data", c.S_IFREG | 0o644)
    recorder.add("/r/bin/dir")
    made = Run(recorder, [])
    made.inroot = InRoot(recorder, recorder.open("/r", c.O_PATH | c.O_DIRECTORY))
    return made


@pytest.mark.parametrize(
    ("program", "env", "expected"),
    [
        ("tool", ["PATH=/a:/b"], ["/a/tool", "/b/tool"]),
        ("tool", ["PATH=/a::"], ["/a/tool", "./tool", "./tool"]),
        ("tool", ["PATH=/old", "PATH=/new"], ["/new/tool"]),
        ("tool", [], []),
        ("./tool", ["PATH=/a"], ["./tool"]),
        ("/x/tool", ["PATH=/a"], ["/x/tool"]),
    ],
)
def test_candidates(program: str, env: list[str], expected: list[str]) -> None:
    assert candidates(program, env) == expected


def test_found(run: Run) -> None:
    """What cannot be executed is no candidate."""
    FindProgram("tool", ["PATH=/missing:/first:/bin"], "/").execute(run)
    assert run.candidates == ["/bin/tool"]


def test_relative_to_cwd(run: Run) -> None:
    FindProgram("./tool", [], "/bin").execute(run)
    assert run.candidates == ["./tool"]


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("absent", "executable file not found in $PATH"),
        ("/bin/absent", "no such file or directory"),
        ("/first/data", "permission denied"),
        ("data", "executable file not found in $PATH; /first/data cannot be executed"),
        ("dir", "executable file not found in $PATH; /bin/dir cannot be executed"),
        ("", "executable file not found in $PATH"),
        ("/bin/dir", "is a directory: permission denied"),
        ("/bin/tool/x", "not a directory"),
    ],
)
def test_missing(run: Run, program: str, words: str) -> None:
    with pytest.raises(OciError) as caught:
        FindProgram(program, ["PATH=/first:/bin"], "/").execute(run)
    assert f'exec: "{program}":' in str(caught.value)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "home"),
    [
        (b"root:x:0:0::/root:/bin/sh\nme:x:1000:1000::/home/me:\n", "/home/me"),
        (b"me:x:1000:1000:::\n", "/"),
        (b"me:x:10000:1000::/no:\n", "/"),
        (b"broken\nx:y:1000\n", "/"),
        (b"a:x:1000:1::/first:\nb:x:1000:1::/second:\n", "/first"),
        (b"a:x:1000:1::/nu\0l:\n", "/"),
        (b"\xff\xfe:x:1000:1::/h\xff:", "/h\udcff"),
        (b"", "/"),
    ],
)
def test_home(run: Run, text: bytes, home: str) -> None:
    recorder = run.kernel
    assert isinstance(recorder, Recorder)
    recorder.add("/r/etc/passwd", c.S_IFREG | 0o644, text)
    assert home_of(run.inside(), 1000) == home


@pytest.mark.parametrize("mode", [c.S_IFIFO | 0o644, c.S_IFCHR | 0o644, c.S_IFDIR | 0o755])
def test_passwd_that_is_no_file(run: Run, mode: int) -> None:
    """It is not even opened for reading."""
    recorder = run.kernel
    assert isinstance(recorder, Recorder)
    recorder.add("/r/etc/passwd", mode)
    assert home_of(run.inside(), 0) == "/"
    opened = [call for call in recorder.calls if call.name == "openat2"]
    assert all(int.from_bytes(call.args[2][:8], "little") & c.O_PATH for call in opened)


def test_no_passwd(run: Run) -> None:
    assert home_of(run.inside(), 0) == "/"
