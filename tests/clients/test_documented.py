"""Every configuration of an engine that docs/ shows is loaded by the real daemon, word by word."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engines.host import PrivateHost
from tests.support.pages import DOCS, block, blocks

PAGES = sorted(path.name for path in DOCS.glob("*.md"))
# (page, how its configuration of containerd begins)
TOML = [
    (page, f"version = {number}\n")
    for page in ("kubernetes.md", "node.md", "shim.md")
    for number in (2, 3)
]
CRI = {2: "io.containerd.grpc.v1.cri", 3: "io.containerd.cri.v1.runtime"}


@pytest.fixture
def machine(runtime_binary: Path) -> Iterator[PrivateHost]:
    """A private host on which our programs are in /usr/local/bin, as `make install` has it."""
    directory = Path(tempfile.mkdtemp(prefix="ocirt-clients-"))
    try:
        host = PrivateHost(directory)
        try:
            host.shell(
                "mount -t tmpfs tmpfs /usr/local/bin; "
                f"ln -s {runtime_binary} /usr/local/bin/ociruntime; "
                f"ln -s {runtime_binary.parent}/containerd-shim-ociruntime-v1 /usr/local/bin/"
            )
            yield host
        finally:
            host.close()
    finally:
        shutil.rmtree(directory)


def version_of(machine: PrivateHost, program: str) -> int:
    """The major version of a daemon; skips the test where there is none."""
    if shutil.which(program) is None:
        pytest.skip(f"not installed: {program}")
    words = machine.run(program, "--version").check().stdout.replace(",", " ").split()
    number = next(word for word in words if word.lstrip("v")[0].isdigit())
    return int(number.lstrip("v").partition(".")[0])


@pytest.mark.parametrize(
    ("page", "beginning", "default"),
    [(*place, "runc") for place in TOML] + [(*place, "ociruntime") for place in TOML[:2]],
)
def test_containerd(machine: PrivateHost, page: str, beginning: str, default: str) -> None:
    major = version_of(machine, "containerd")
    wanted = int(beginning.rsplit(maxsplit=1)[-1])
    if wanted > 2 > major:
        pytest.skip(f"containerd {major} has no configuration of version {wanted}")
    text = block(page, beginning)
    line = '# default_runtime_name = "ociruntime"'
    if default == "ociruntime":
        assert line in text
        text = text.replace(line, line.removeprefix("# "))
    config = machine.directory / "config.toml"
    config.write_text(text)
    log = machine.directory / "containerd.log"
    ctr = ("ctr", "--address", "/run/containerd.sock")
    machine.start(
        "containerd", "--config", str(config), "--root", str(machine.directory / "root"),
        "--state", "/run/containerd", "--address", "/run/containerd.sock", log=log,
    )  # fmt: skip
    machine.wait_until(lambda: machine.run(*ctr, "version").status == 0, "containerd", log)
    states = {}
    for row in machine.run(*ctr, "plugins", "ls").check().stdout.splitlines()[1:]:
        kind, name, *_, state = row.split()
        states[f"{kind}.{name}"] = state
    plugin = CRI[3 if major > 1 else 2]
    assert states[plugin] == "ok", machine.run("grep", "cri", str(log)).stdout[-3000:]
    dump = machine.run("containerd", "--config", str(config), "config", "dump").check().stdout
    sections = [entry.strip().replace("'", '"') for entry in dump.splitlines()]
    place = sections.index(f'[plugins."{plugin}".containerd.runtimes.ociruntime]')
    kind = "io.containerd.runc.v2" if page == "kubernetes.md" else "io.containerd.ociruntime.v1"
    assert f'runtime_type = "{kind}"' in sections[place:]
    assert f'default_runtime_name = "{default}"' in sections
    if (page, wanted) == ("kubernetes.md", 3):
        place = sections.index(f'[plugins."{plugin}".containerd.runtimes.ociruntime-shim]')
        path = 'runtime_path = "/usr/local/bin/containerd-shim-ociruntime-v1"'
        assert path in sections[place:]


@pytest.mark.parametrize(("page", "beginning"), [("docker.md", "{"), ("shim.md", '{"runtimes"')])
def test_docker(machine: PrivateHost, page: str, beginning: str) -> None:
    major = version_of(machine, "dockerd")
    if page == "shim.md" and major < 23:
        pytest.skip(f"Docker {major} knows no shim but runc's, as the page says")
    text = block(page, beginning)
    config = machine.directory / "daemon.json"
    config.write_text(text)
    log = machine.directory / "dockerd.log"
    machine.start(
        "dockerd", "--config-file", str(config), "--host", "unix:///run/docker.sock",
        "--cgroup-parent", machine.cgroup_parent, log=log,
    )  # fmt: skip
    docker = ("docker", "--host", "unix:///run/docker.sock")
    machine.wait_until(lambda: machine.run(*docker, "version").status == 0, "dockerd", log)
    info = json.loads(machine.run(*docker, "info", "--format", "{{json .}}").check().stdout)
    wanted = json.loads(text)
    assert set(wanted["runtimes"]) <= set(info["Runtimes"])
    assert info["DefaultRuntime"] == wanted.get("default-runtime", "runc")


def test_podman(machine: PrivateHost) -> None:
    version_of(machine, "podman")
    config = machine.directory / "containers.conf"
    config.write_text(block("podman.md", "[engine]"))
    machine.environment["CONTAINERS_CONF"] = str(config)
    done = machine.run("podman", "info", "--format", "{{json .Host.OCIRuntime}}").check()
    assert json.loads(done.stdout)["name"] == "ociruntime"
    assert json.loads(done.stdout)["path"] == "/usr/local/bin/ociruntime"


def test_none_is_forgotten() -> None:
    """Every block that looks like an engine's configuration is one that is loaded here."""
    seen = {("docker.md", "{\n"), ("shim.md", '{"runtimes'), ("podman.md", "[engine]"), *TOML}
    # CRI-O has no package, and says so; the others are documents of other programs, with tests.
    seen |= {("kubernetes.md", "[crio."), ("networking.md", '{\n    "cniVersion"'),
             ("networking.md", '"hooks": {'), ("service.md", "[Unit]"),
             ("usage.md", "[Service]")}  # fmt: skip
    for page in PAGES:
        for text in blocks(page):
            if text.startswith(("{\n", '{"runtimes', "[", "version =", '"hooks"')):
                assert any(p == page and text.startswith(b) for p, b in seen), (page, text[:80])
