"""Python is removed or replaced while containers run: they are still served, from the image."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

from tests.native.driver import CHECKOUT
from tests.native.installed import IMAGE, PREFIX, run, sources
from tests.support.patience import PATIENCE

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="removes Python in a mount namespace: needs root"),
    pytest.mark.skipif(not (PREFIX / IMAGE).exists(), reason="no start image: run `make build`"),
    pytest.mark.skipif(shutil.which("unshare") is None, reason="no unshare"),
]
# "$1" is a directory, the other words are a library of it and a directory, which vanish.
WITHOUT = """set -e
work=$1 library=$2 stdlib=$3
shift 3
mount -t tmpfs tmpfs "$work"
mkdir "$work/upper" "$work/work"
mknod "$work/upper/${library##*/}" c 0 0
directory=${library%/*}
mount -t overlay -o "lowerdir=$directory,upperdir=$work/upper,workdir=$work/work" \\
  overlay "$directory"
mount -t tmpfs tmpfs "$stdlib"
exec "$@"
"""


def test_containers_are_served_without_python(prefix: Path, tmp_path: Path) -> None:
    library = next(name for name, (_, vital) in sources(prefix / IMAGE).items() if vital)
    bundle, work = tmp_path / "bundle", tmp_path / "work"
    work.mkdir()
    subprocess.run([CHECKOUT / "bundles" / "make", "service", bundle], check=True, timeout=PATIENCE)
    name, state = f"survivor-{os.getpid()}", ("--root", str(tmp_path / "state"))
    subprocess.run(
        [prefix / "bin" / "ociruntime", *state, "run", "--detach", "--bundle", bundle, name],
        check=True, timeout=PATIENCE, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )  # fmt: skip

    def without(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["unshare", "--mount", "sh", "-c", WITHOUT, "sh", work, library,
             sysconfig.get_path("stdlib"), prefix / "bin" / "ociruntime", *state, *words],
            capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip

    try:
        told = without("--debug", "state", name)
        assert '"running"' in told.stdout
        assert f"{library}, which it was made of, is gone: install ociruntime anew" in told.stderr
        for words, output in (
            (("state", name), '"running"'),
            (("exec", name, "echo", "inside"), "inside"),
            (("list", "-q"), name),
            (("pause", name), ""),
            (("resume", name), ""),
            (("kill", name, "KILL"), ""),
            (("delete", "--force", name), ""),
        ):
            done = without(*words)
            assert (done.returncode, done.stderr) == (0, ""), words
            assert output in done.stdout
        refused = without("validate", str(bundle / "config.json"))
        assert refused.returncode != 0
        assert refused.stderr.startswith(f"ociruntime: Python was removed or replaced ({library}")
        assert refused.stderr.count("\n") == 1
        unmade = without("image", "refresh")
        assert unmade.returncode != 0
        assert "install ociruntime anew for the Python that is here now" in unmade.stderr
    finally:
        run(prefix, *state, "delete", "--force", name)
    assert run(prefix, *state, "list", "-q").stdout == ""


def test_without_image_and_python_the_cure_is_told(prefix: Path, tmp_path: Path) -> None:
    library = next(name for name, (_, vital) in sources(prefix / IMAGE).items() if vital)
    (prefix / IMAGE).unlink()
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", WITHOUT, "sh", tmp_path, library,
         sysconfig.get_path("stdlib"), prefix / "bin" / "ociruntime", "list"],
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("ociruntime: cannot load Python: ")
    assert done.stderr.endswith(", or install ociruntime anew for the Python that is here now\n")
