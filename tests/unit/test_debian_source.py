"""conformance/debian-source: another suite, from where the machine's own apt has its packages."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.patience import PATIENCE

PROGRAM = Path(__file__).resolve().parents[2] / "conformance/debian-source"
HOST = "mirror.example.test"
KEYRING = "/usr/share/keyrings/of-ours.gpg"
DEB822 = f"""# The archive
Types: deb
URIs: http://{HOST}/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: {KEYRING}

# Another

Types: deb
URIs: http://{HOST}/other
Suites: stable
Components: main
"""
INLINE = DEB822.replace(
    f"Signed-By: {KEYRING}",
    "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abcd\n"
    " -----END PGP PUBLIC KEY BLOCK-----",
)
LINES = f"""deb http://{HOST}/other stable main
deb [ arch=amd64,arm64 signed-by={KEYRING} check-valid-until=no ] http://{HOST}/debian bookworm main
"""

pytestmark = pytest.mark.skipif(not shutil.which("apt-get"), reason="apt is not installed")


def ask(directory: Path, name: str, sources: str, *args: str) -> subprocess.CompletedProcess[str]:
    """Run the program with an apt that has `sources`, and has seen what the archive says."""
    etc, lists = directory / "etc", directory / "state/lists"
    (etc / "sources.list.d").mkdir(parents=True)
    (etc / "apt.conf.d").mkdir()
    (lists / "partial").mkdir(parents=True)
    (directory / "state/status").write_text("")
    (etc / "sources.list.d" / name).write_text(sources)
    for place, suite, origin in (
        ("debian", "bookworm", "Debian"),
        ("debian", "bookworm-updates", "Debian"),
        ("debian", "sid", "Debian"),
        ("other", "stable", "Somebody"),
    ):
        name_ = f"{HOST}_{place}_dists_{suite}_"
        text = f"Origin: {origin}\nLabel: {origin}\nSuite: {suite}\nCodename: {suite}\n"
        (lists / f"{name_}Release").write_text(text)
        # apt tells of what it has fetched.
        (lists / f"{name_}main_binary-amd64_Packages").write_text("")
    conf = directory / "apt.conf"
    conf.write_text(
        f'Dir::State "{directory}/state";\nDir::State::status "{directory}/state/status";\n'
        f'Dir::Cache "{directory}/cache";\nDir::Etc "{etc}";\nAPT::Architecture "amd64";\n'
        'APT::Architectures { "amd64"; };\n'
    )
    environment = {**os.environ, "APT_CONFIG": str(conf)}
    return subprocess.run(
        ["/usr/bin/python3", PROGRAM, *args],
        env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip


def fields(text: str) -> dict[str, str]:
    return {
        key: value.strip() for key, _, value in (line.partition(":") for line in text.split("\n"))
    }


def test_deb822(tmp_path: Path) -> None:
    done = ask(tmp_path, "debian.sources", DEB822, "sid")
    assert fields(done.stdout) == {
        "Types": "deb", "URIs": f"http://{HOST}/debian/", "Suites": "sid", "Components": "main",
        "Signed-By": KEYRING, "": "",
    }  # fmt: skip


def test_a_key_in_the_source_itself(tmp_path: Path) -> None:
    done = ask(tmp_path, "debian.sources", INLINE, "sid")
    assert done.stdout.endswith(INLINE.split("\n\n")[0].partition("main contrib\n")[2] + "\n")
    assert "PGP PUBLIC KEY" in done.stdout


def test_one_line_a_source(tmp_path: Path) -> None:
    done = ask(tmp_path, "debian.list", LINES, "sid")
    assert fields(done.stdout) == {
        "Types": "deb", "URIs": f"http://{HOST}/debian/", "Suites": "sid", "Components": "main",
        "Architectures": "amd64 arm64", "Signed-By": KEYRING, "Check-Valid-Until": "no", "": "",
    }  # fmt: skip


def test_a_line_without_options(tmp_path: Path) -> None:
    done = ask(tmp_path, "debian.list", f"deb http://{HOST}/debian bookworm main\n", "sid")
    assert set(fields(done.stdout)) == {"Types", "URIs", "Suites", "Components", ""}


def test_the_mirror_alone(tmp_path: Path) -> None:
    done = ask(tmp_path, "debian.sources", DEB822, "--uri", "sid")
    assert done.stdout == f"http://{HOST}/debian/\n"


def test_what_is_printed_is_a_source_for_apt(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    printed = ask(first, "debian.list", LINES, "sid").stdout
    assert ask(second, "printed.sources", printed, "sid").stdout == printed != ""


@pytest.mark.parametrize("args", [(), ("--uri",), ("--what", "sid")])
def test_how_it_is_called(tmp_path: Path, args: tuple[str, ...]) -> None:
    done = ask(tmp_path, "debian.sources", DEB822, *args)
    assert done.returncode == 1
    assert done.stderr.startswith("usage: ")


def test_no_source_of_debian(tmp_path: Path) -> None:
    done = ask(tmp_path, "debian.list", f"deb http://{HOST}/other stable main\n", "sid")
    assert done.returncode == 1
    assert "apt-get update" in done.stderr
