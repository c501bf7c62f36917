"""Looking for programs in a container's files, on the recorder."""

from __future__ import annotations

import pytest

from ociruntime.errors import OciError
from ociruntime.kernel import constants as c
from ociruntime.kernel.inroot import InRoot
from ociruntime.process.run import Run
from ociruntime.steps.process import FindProgram, candidates
from tests.support.model.emulator import emulated
from tests.support.model.recorder import Recorder

FILE = c.S_IFREG | 0o755


@pytest.fixture
def run() -> Run:
    recorder = Recorder()
    recorder.add("/r/bin/tool", FILE)
    recorder.add("/r/first/tool", c.S_IFREG | 0o644)
    recorder.add("/r/first/data", c.S_IFREG | 0o644)
    recorder.add("/r/bin/dir")
    made = emulated(recorder)
    made.inroot = InRoot(made.inner, made.inner.open("/r", c.O_PATH | c.O_DIRECTORY))
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
