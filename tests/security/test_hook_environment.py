"""CVE-2025-23266: hooks have their own environment, and nothing of the image's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.security.conftest import MakeBundle
    from tests.support.bundle import Bundle
    from tests.support.runtime import Runtime
    from tests.support.sandbox import Sandbox

HOST_KINDS = ("prestart", "createRuntime", "createContainer", "poststart", "poststop")
IMAGES = "OF_THE_IMAGE=1"


def _hook(made: Bundle, kind: str, out: Path, env: list[str] | None) -> None:
    script = f"/bin/cat /proc/self/environ > {out}; echo cwd=$(/bin/pwd -P) >> {out}"
    hook: dict[str, object] = {"path": "/bin/sh", "args": ["sh", "-c", script]}
    if env is not None:
        hook["env"] = env
    made.set(f"/hooks/{kind}", [hook])


def _output(runtime: Runtime, made: Bundle, out: Path) -> list[str]:
    container = runtime.create(made, env={"CALLER": "secret"}).check().container
    runtime.start(container, env={"CALLER": "secret"}).check()
    runtime.wait_for(container, "stopped")
    runtime.delete(container, env={"CALLER": "secret"}).check()
    lines = out.read_text().replace("\0", "\n").splitlines()
    return [line for line in lines if not line.startswith("PWD=")]  # the shell's own


@pytest.mark.parametrize("kind", HOST_KINDS)
def test_no_environment(runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox, kind: str) -> None:
    """A hook without `env` has the caller's environment and the bundle's directory, and nothing of
    the image's.

    createContainer runs in the container's mount namespace, where the host's paths still exist.
    """
    out = sandbox.directory / "hook"
    made = bundle()
    made.config["process"]["env"].append(IMAGES)
    made.config["process"]["cwd"] = "/home"
    _hook(made, kind, out, None)
    *environment, cwd = _output(runtime, made, out)
    assert IMAGES not in environment
    assert "TERM=xterm" not in environment  # of tests/support/config.py
    assert "CALLER=secret" in environment
    assert cwd == f"cwd={made.path}"
    assert cwd != f"cwd={made.rootfs / 'home'}"


@pytest.mark.parametrize("kind", HOST_KINDS)
def test_own_environment(runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox, kind: str) -> None:
    out = sandbox.directory / "hook"
    made = bundle()
    made.config["process"]["env"].append(IMAGES)
    _hook(made, kind, out, ["A=1", "B=two words"])
    assert _output(runtime, made, out)[:-1] == ["A=1", "B=two words"]
