"""No command and no option of runc's and crun's is missing: asked of their own --help."""

from __future__ import annotations

import importlib
import re
import subprocess

import pytest

from ociruntime.cli.main import ALIASES, GLOBAL, VERBS
from tests.support.criu import NEWER
from tests.support.patience import PATIENCE

PEERS = ("runc", "crun")
# argp's own, and the one that every command of ours has without naming it.
HELP = {"help", "usage", "version"}
# What crun lists beside its commands.
NO_VERBS = {"help"}
VERB = re.compile(r"^\s+([a-z]+)[, ]", re.MULTILINE)
OPTION = re.compile(r"--([a-z0-9-]+)")


def said_by(peer: str, *words: str) -> str:
    """What ``peer WORDS --help`` prints; skips the test where there is no such runtime."""
    binary = NEWER.parent / f"{peer}-sid"
    if not binary.exists():
        pytest.skip(f"no {peer} of Debian sid here: run `make newer-criu`")
    done = subprocess.run(
        [binary, *words, "--help"], capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    return done.stdout


def verbs_of(peer: str) -> set[str]:
    text = said_by(peer)
    begin = text.index("COMMANDS:")
    end = text.find("\n\n", begin + 20)
    listed = text[begin : end if end > 0 else len(text)]
    return set(VERB.findall(listed)) - NO_VERBS


@pytest.mark.parametrize("peer", PEERS)
def test_commands(peer: str) -> None:
    found = verbs_of(peer)
    assert {"create", "checkpoint", "restore", "update"} <= found
    assert found <= set(VERBS)


@pytest.mark.parametrize("peer", PEERS)
def test_options(peer: str) -> None:
    missing = {f"--{name}" for name in OPTION.findall(said_by(peer).partition("COMMANDS")[2])}
    missing -= {f"--{name}" for name in (*GLOBAL, *ALIASES, *HELP)}
    assert not missing
    for verb in sorted(verbs_of(peer) & set(VERBS)):
        module = importlib.import_module(f"ociruntime.cli.{VERBS[verb]}")
        known = {*getattr(module, "OPTIONS", {}), *getattr(module, "ALIASES", {}), *HELP}
        asked = set(OPTION.findall(said_by(peer, verb))) - set(GLOBAL)  # runc's examples
        assert asked <= known, f"{verb}: {sorted(asked - known)}"
