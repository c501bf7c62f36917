"""A resident's child: its descriptors, and that it ends whatever it does."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from ociruntime.resident.worker import fork_worker


def report(script: str) -> str:
    """What a process prints at its descriptor 0 after `script` (it may close any other)."""
    reading, writing = os.pipe()
    subprocess.run([sys.executable, "-c", script], check=True, stdin=writing, timeout=90)
    os.close(writing)
    with open(reading) as file:
        return file.read()


def test_a_full_table_of_descriptors() -> None:
    """Each gets its number, and nothing else is open, where not one number was free before."""
    script = """
import os, resource
from ociruntime.resident.worker import arrange

kept, inherited = os.open("/proc/self", os.O_RDONLY), os.open("/", os.O_RDONLY)
full = [os.dup(0) for _ in range(30)]
resource.setrlimit(resource.RLIMIT_NOFILE, (full[-1] + 1, full[-1] + 1))
numbers = arrange([0, inherited, 0], [inherited, kept])
lines = [str(numbers)]
for fd in range(full[-1] + 1):
    try:
        lines.append(f"{fd} {os.get_inheritable(fd)} {os.fstat(fd).st_ino == os.stat('/').st_ino}")
    except OSError:
        continue
os.write(0, "\\n".join(lines).encode())
"""
    assert report(script).splitlines() == [
        "[3, 4]",
        "0 True False",
        "1 True True",
        "2 True False",
        "3 False True",
        "4 False False",
    ]


@pytest.mark.parametrize(("said", "status"), [(b"done", 0), (b"", 1)])
def test_it_ends_where_its_work_does(said: bytes, status: int) -> None:
    def work(channel: int) -> None:
        if not said:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # the traceback
            raise ValueError
        os.write(channel, said)

    pid, end = fork_worker(work)
    try:
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == status
        assert end.recv(100) == said
    finally:
        end.close()
